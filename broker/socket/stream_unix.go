//go:build unix

package socket

import (
	"io"
	"net"
	"syscall"
)

// Stream is a connection whose bytes go past Go's scheduler where that is possible. Its deadlines hold. One goroutine at a
// time reads from it, and one writes to it.
type Stream struct {
	net.Conn
	raw syscall.RawConn // nil: everything goes through Conn

	reading, writing transferState
	read, write      func(fd uintptr) bool
}

// transferState is one call of Read or Write.
type transferState struct {
	p   []byte
	n   int
	err error
}

// NewStream makes a stream of a connection.
func NewStream(conn net.Conn) *Stream {
	s := &Stream{Conn: conn, raw: Raw(conn)}
	s.read, s.write = s.readSome, s.writeSome
	return s
}

// Read implements io.Reader.
func (s *Stream) Read(p []byte) (int, error) {
	if s.raw == nil || len(p) == 0 {
		return s.Conn.Read(p)
	}
	s.reading = transferState{p: p}
	err := s.raw.Read(s.read)
	s.reading.p = nil
	switch {
	case err != nil:
		return 0, err
	case s.reading.err != nil:
		return 0, s.reading.err
	case s.reading.n == 0:
		return 0, io.EOF
	}
	return s.reading.n, nil
}

func (s *Stream) readSome(fd uintptr) bool {
	r := &s.reading
	for {
		r.n, r.err = Read(fd, r.p)
		switch r.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}

// Write implements io.Writer.
func (s *Stream) Write(p []byte) (int, error) {
	if s.raw == nil {
		return s.Conn.Write(p)
	}
	s.writing = transferState{p: p}
	err := s.raw.Write(s.write)
	s.writing.p = nil
	if err == nil {
		err = s.writing.err
	}
	return s.writing.n, err
}

func (s *Stream) writeSome(fd uintptr) bool {
	w := &s.writing
	for w.n < len(w.p) {
		n, err := Write(fd, w.p[w.n:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		case err != nil:
			w.err = err
			return true
		case n <= 0:
			w.err = io.ErrUnexpectedEOF
			return true
		default:
			w.n += n
		}
	}
	return true
}
