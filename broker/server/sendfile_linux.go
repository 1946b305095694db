package server

import (
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/millrace-io/millrace/broker/socket"
	"github.com/millrace-io/millrace/broker/vfs"
)

// sendfileBytes bounds one call, so that a deadline of the connection is looked at in between.
const sendfileBytes = 4 << 20

// fileSender sends ranges of files to a socket without copying them through this process. It always names the offset
// itself: the offset of the file belongs to all readers together.
type fileSender struct {
	socket syscall.RawConn // nil: not a TCP connection
	step   func(fd uintptr) bool

	corked   bool
	corkStep func(fd uintptr)

	file      int // descriptor, valid during send only
	position  int64
	remaining int
	err       error
}

func newFileSender(raw syscall.RawConn) fileSender { return fileSender{socket: raw} }

func (s *fileSender) usable() bool { return s.socket != nil }

// cork lets what is written before, between and behind ranges of files go out with them.
func (s *fileSender) cork(on bool) {
	if s.corkStep == nil {
		s.corkStep = func(fd uintptr) { socket.Cork(fd, s.corked) }
	}
	s.corked = on
	_ = s.socket.Control(s.corkStep)
}

func (s *fileSender) send(file vfs.File, position int64, sizeBytes int) error {
	source, err := file.SyscallConn()
	if err != nil {
		return fmt.Errorf("send %s: %w", file.Name(), err)
	}
	if s.step == nil {
		s.step = s.write
	}
	s.position, s.remaining, s.err = position, sizeBytes, nil
	var writeErr error
	if err := source.Control(func(fd uintptr) { // keeps the descriptor from being closed meanwhile
		s.file = int(fd)
		writeErr = s.socket.Write(s.step)
	}); err != nil {
		return fmt.Errorf("send %s: %w", file.Name(), err)
	}
	if writeErr != nil {
		return writeErr
	}
	return s.err
}

func (s *fileSender) write(socket uintptr) bool {
	for s.remaining > 0 {
		n, err := unix.Sendfile(int(socket), s.file, &s.position, min(s.remaining, sendfileBytes))
		if n > 0 {
			s.remaining -= n
			continue
		}
		switch err {
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		case nil:
			s.err = fmt.Errorf("sendfile: the file ends before its slice: %w", io.ErrUnexpectedEOF)
			return true
		default:
			s.err = fmt.Errorf("sendfile: %w", err)
			return true
		}
	}
	return true
}
