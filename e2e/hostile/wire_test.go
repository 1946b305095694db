//go:build e2e

package hostile

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// peer is one connection that sends what it likes.
type peer struct {
	net.Conn
	t *testing.T
}

func (n *node) dial() *peer {
	n.t.Helper()
	c, err := net.DialTimeout("tcp", n.Address(), 10*time.Second)
	if err != nil {
		n.t.Fatalf("connect: %v", err)
	}
	n.t.Cleanup(func() { c.Close() })
	return &peer{c, n.t}
}

// frame puts a length in front.
func frame(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

// header is a request header; flexible ones end with an empty section of tagged fields.
func header(key, version int16, correlation int32, flexible bool) []byte {
	p := binary.BigEndian.AppendUint16(nil, uint16(key))
	p = binary.BigEndian.AppendUint16(p, uint16(version))
	p = binary.BigEndian.AppendUint32(p, uint32(correlation))
	p = append(p, 0, 4, 'e', 'v', 'i', 'l')
	if flexible {
		p = append(p, 0)
	}
	return p
}

// request is a well-formed frame.
func request(r kmsg.Request, correlation int32) []byte {
	return frame(r.AppendTo(header(r.Key(), r.GetVersion(), correlation, r.IsFlexible())))
}

// readFrame reads one answer.
func (p *peer) readFrame(limit time.Duration) ([]byte, error) {
	_ = p.SetReadDeadline(time.Now().Add(limit))
	var size [4]byte
	if _, err := io.ReadFull(p, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(p, body)
	return body, err
}

// ask sends a request and returns its answer; nil when the broker closed the connection instead.
func (p *peer) ask(frame []byte, limit time.Duration) []byte {
	p.t.Helper()
	_ = p.SetWriteDeadline(time.Now().Add(limit))
	if _, err := p.Write(frame); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("the broker does not read: %v", err)
	}
	answer, err := p.readFrame(limit)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Errorf("neither an answer nor an end within %v", limit)
	}
	return answer
}
