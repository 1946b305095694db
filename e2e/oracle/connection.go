package oracle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerWithin bounds the wait for one answer. It is longer than any wait that a script asks a server for.
const answerWithin = 20 * time.Second

// errClosed says that the server closed the connection instead of answering.
var errClosed = errors.New("connection closed")

// connection is one client connection. Frames are sent as they are, so that a script can send wrong ones.
type connection struct {
	net.Conn
	correlation int32
	waiting     []pending // requests without an answer yet, oldest first
}

type pending struct {
	correlation int32
	request     kmsg.Request
}

func dial(address string) (*connection, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c}, nil
}

// encodeRequest is the frame of a request, its length included.
func encodeRequest(request kmsg.Request, correlation int32) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("oracle")).AppendRequest(nil, request, correlation)
}

// send writes the request and remembers it as waiting for its answer unless none will come.
func (c *connection) send(request kmsg.Request, silent bool) error {
	c.correlation++
	return c.sendFrame(encodeRequest(request, c.correlation), request, silent)
}

// sendFrame writes bytes that stand for a request with the connection's newest correlation id.
func (c *connection) sendFrame(frame []byte, request kmsg.Request, silent bool) error {
	if !silent {
		c.waiting = append(c.waiting, pending{c.correlation, request})
	}
	if _, err := c.Write(frame); err != nil {
		return errClosed
	}
	return nil
}

// receive reads the answer to the oldest waiting request. It checks the order of answers and that the body has nothing
// beyond what its version defines.
func (c *connection) receive(within time.Duration) (kmsg.Response, error) {
	if len(c.waiting) == 0 {
		return nil, errors.New("no request waits for an answer")
	}
	next := c.waiting[0]
	c.waiting = c.waiting[1:]
	frame, err := c.readFrame(within)
	if err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != next.correlation {
		return nil, fmt.Errorf("answer with correlation id %d in place of %d", got, next.correlation)
	}
	return decodeResponse(next.request, frame[4:])
}

func (c *connection) readFrame(within time.Duration) ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return nil, errors.New("no answer")
		}
		return nil, errClosed
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > 64<<20 {
		return nil, fmt.Errorf("answer of %d bytes", n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(c, frame); err != nil {
		return nil, fmt.Errorf("answer cut short: %w", err)
	}
	return frame, nil
}

// decodeResponse reads what follows the correlation id. An ApiVersions answer may be of version 0 whatever was asked.
func decodeResponse(request kmsg.Request, body []byte) (kmsg.Response, error) {
	response := request.ResponseKind()
	_, isVersions := response.(*kmsg.ApiVersionsResponse)
	if response.IsFlexible() && !isVersions {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("answer without the tag section of its header")
		}
		body = body[1:]
	}
	if isVersions && len(body) >= 2 && binary.BigEndian.Uint16(body) == 35 {
		response.SetVersion(0)
	}
	if err := response.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("answer does not decode as version %d: %w", response.GetVersion(), err)
	}
	if again := len(response.AppendTo(nil)); again != len(body) {
		return nil, fmt.Errorf("answer has %d bytes where its fields take %d", len(body), again)
	}
	return response, nil
}
