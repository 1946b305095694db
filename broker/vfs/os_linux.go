package vfs

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

func syncData(fd int) error { return unix.Fdatasync(fd) }

func syncFS(fd int) error { return unix.Syncfs(fd) }

// allocate reserves blocks so that later writes extend nothing but the size; a file system that cannot is no error.
func allocate(fd int, sizeBytes int64) error {
	err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, sizeBytes)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// maxVectors is the kernel's IOV_MAX.
const maxVectors = 1024

// writev calls pwritev until everything is written or it fails. EINTR is retried here: the caller's retry would
// write again what was written.
func writev(fd int, bufs [][]byte, offset int64) (written int, err error) {
	var total int
	for _, b := range bufs {
		total += len(b)
	}
	rest := bufs
	for written < total {
		n, err := unix.Pwritev(fd, rest[:min(len(rest), maxVectors)], offset+int64(written))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return written, err
		}
		if n == 0 && !onlyEmpty(rest[:min(len(rest), maxVectors)]) {
			return written, io.ErrShortWrite
		}
		written += n
		rest = dropWritten(rest, n)
	}
	return written, nil
}

// dropWritten returns what is left of bufs behind n bytes, without changing what the caller owns.
func dropWritten(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n == 0 {
		return bufs
	}
	rest := append([][]byte(nil), bufs...)
	rest[0] = rest[0][n:]
	return rest
}

func onlyEmpty(bufs [][]byte) bool {
	for _, b := range bufs {
		if len(b) > 0 {
			return false
		}
	}
	return true
}
