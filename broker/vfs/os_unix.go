//go:build unix && !linux

package vfs

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

func syncData(fd int) error { return syncFile(fd) }

func syncFS(int) error { return errors.ErrUnsupported }

func allocate(int, int64) error { return nil }

func writev(fd int, bufs [][]byte, offset int64) (written int, err error) {
	for _, b := range bufs {
		for len(b) > 0 {
			n, err := unix.Pwrite(fd, b, offset+int64(written))
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return written, err
			}
			if n == 0 {
				return written, io.ErrShortWrite
			}
			written += n
			b = b[n:]
		}
	}
	return written, nil
}

// quietReads is of use on Linux only.
type quietReads struct{}

func newQuietReads() *quietReads { return nil }
