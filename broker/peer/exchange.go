package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/socket"
)

// apiVersionsAsked is the version of ApiVersions that every release of Millrace knows.
const apiVersionsAsked = 3

// exchange is the client side of one Kafka connection, without any rule of who may use it when.
type exchange struct {
	conn      *socket.Stream
	reader    *bufio.Reader
	formatter *kmsg.RequestFormatter
	versions  map[int16]int16 // by key, the highest that the other end knows; fixed after openExchange
	last      int32           // correlation id of the request written last
}

// openExchange dials a node and asks what it speaks.
func openExchange(ctx context.Context, cfg Config, to Identity, address string) (*exchange, error) {
	dialled, _, err := DialPurpose(ctx, cfg, PurposeKafka, to, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := dialled.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
	}
	conn := socket.NewStream(dialled)
	e := &exchange{
		conn: conn, reader: bufio.NewReaderSize(conn, readBufferBytes),
		formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID("broker-" + strconv.Itoa(int(cfg.Identity().NodeID)))),
	}
	deadline := time.Now().Add(cfg.HandshakeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_, err = greetUntil(ctx, conn, deadline, func() (Identity, error) { return Identity{}, e.askVersions() })
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("ask %s for its versions: %w", address, err)
	}
	return e, nil
}

func (e *exchange) askVersions() error {
	req := kmsg.NewPtrApiVersionsRequest()
	req.SetVersion(apiVersionsAsked)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "millrace", "1"
	if _, _, err := e.write(req, nil); err != nil {
		return err
	}
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	body, err := e.read(e.last, nil)
	if err != nil {
		return err
	}
	if err := decode(resp, body); err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	e.versions = make(map[int16]int16, len(resp.ApiKeys))
	for _, k := range resp.ApiKeys {
		e.versions[k.ApiKey] = k.MaxVersion
	}
	return nil
}

// settle sets the highest version of req that both ends know.
func (e *exchange) settle(req kmsg.Request) error {
	theirs, known := e.versions[req.Key()]
	if !known {
		return fmt.Errorf("request %s: %w", kmsg.NameForKey(req.Key()), kerr.UnsupportedVersion)
	}
	req.SetVersion(min(req.MaxVersion(), theirs))
	return nil
}

// write sends a request. Nothing was sent when sent is false; buf is used for the bytes and returned.
func (e *exchange) write(req kmsg.Request, buf []byte) (sent bool, _ []byte, err error) {
	e.last++
	buf = e.formatter.AppendRequest(buf[:0], req, e.last)
	n, err := e.conn.Write(buf)
	return n > 0 || err == nil, buf, err
}

// read reads the answer with a correlation id into buf, which grows as bytes arrive and not by the number that announces
// them, and returns all of it behind the correlation id.
func (e *exchange) read(correlation int32, buf []byte) ([]byte, error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(e.reader, head[:]); err != nil {
		return nil, err
	}
	size, err := readHead(head[:], correlation)
	if err != nil {
		return nil, err
	}
	return readGrowing(e.reader, buf[:0], size)
}

// readAlone is read for who has no other request under way: head and body come straight into buf, by one call if they are
// there and it has room. buf is returned as it has become, the answer's body in it.
func (e *exchange) readAlone(correlation int32, buf []byte) (body, whole []byte, err error) {
	if e.reader.Buffered() > 0 {
		return nil, buf, errUnasked
	}
	buf = slices.Grow(buf[:0], headBytes)
	for len(buf) < headBytes {
		n, err := e.conn.Read(buf[len(buf):cap(buf)])
		if err != nil {
			return nil, buf, err
		}
		buf = buf[:len(buf)+n]
	}
	size, err := readHead(buf, correlation)
	if err == nil && len(buf) > headBytes+size {
		err = errUnasked
	}
	if err != nil {
		return nil, buf, err
	}
	buf, err = readGrowing(e.conn, buf, headBytes+size)
	return buf[headBytes:], buf, err
}

// headBytes are before the body of an answer: its length and its correlation id.
const headBytes = 8

var errUnasked = errors.New("an answer that nobody asked for")

// readHead returns how long the body is.
func readHead(head []byte, correlation int32) (int, error) {
	size := int64(binary.BigEndian.Uint32(head)) - 4
	if size < 0 || size > maxAnswerBytes {
		return 0, fmt.Errorf("an answer of %d bytes", size)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != correlation {
		return 0, fmt.Errorf("answer %d where %d was due", got, correlation)
	}
	return int(size), nil
}

// readGrowing appends size bytes of r to buf, never holding more than twice what has come.
func readGrowing(r io.Reader, buf []byte, size int) ([]byte, error) {
	for len(buf) < size {
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, min(max(len(buf), readBufferBytes), size-len(buf)))
		}
		n, err := io.ReadFull(r, buf[len(buf):min(cap(buf), size)])
		buf = buf[:len(buf)+n]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// decode reads an answer; what it holds of bytes aliases body.
func decode(resp kmsg.Response, body []byte) error {
	if resp.IsFlexible() && resp.Key() != 18 { // ApiVersions is answered without tags, so that older clients can read it
		var err error
		if body, err = skipTags(body); err != nil {
			return err
		}
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("decode %s: %w", kmsg.NameForKey(resp.Key()), err)
	}
	return nil
}

var errTags = errors.New("tags of an answer's header are cut off")

func skipTags(p []byte) ([]byte, error) {
	count, n := binary.Uvarint(p)
	if n <= 0 {
		return nil, errTags
	}
	p = p[n:]
	for ; count > 0; count-- {
		_, n := binary.Uvarint(p)
		if n <= 0 {
			return nil, errTags
		}
		size, m := binary.Uvarint(p[n:])
		if m <= 0 || size > uint64(len(p)-n-m) {
			return nil, errTags
		}
		p = p[n+m+int(size):]
	}
	return p, nil
}
