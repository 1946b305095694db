package vfs

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// memoryFile is an opening of a file of Memory.
type memoryFile struct {
	fs                 *Memory
	node               *inode
	name               string
	readable, writable bool
	closed             bool // guarded by fs.mu
}

// use runs call under the lock of the file system, unless the file is closed.
func (f *memoryFile) use(op string, allowed bool, call func(c *content) error) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	switch {
	case f.closed:
		return pathError(op, f.name, fs.ErrClosed)
	case !allowed:
		return pathError(op, f.name, syscall.EBADF)
	case f.node.mode.IsDir():
		return pathError(op, f.name, syscall.EISDIR)
	}
	if err := call(&f.node.content); err != nil {
		return err
	}
	return nil
}

func (f *memoryFile) ReadAt(p []byte, offset int64) (n int, err error) {
	err = f.use("read", f.readable, func(c *content) error {
		if offset < 0 {
			return pathError("readat", f.name, errors.New("negative offset"))
		}
		if offset < int64(len(c.data)) {
			n = copy(p, c.data[offset:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (f *memoryFile) WriteAt(p []byte, offset int64) (n int, err error) {
	return f.Writev([][]byte{p}, offset)
}

func (f *memoryFile) Writev(bufs [][]byte, offset int64) (n int, err error) {
	err = f.use("write", f.writable, func(c *content) error {
		if offset < 0 {
			return pathError("writeat", f.name, errors.New("negative offset"))
		}
		for _, b := range bufs {
			c.write(b, offset+int64(n))
			n += len(b)
		}
		return nil
	})
	return n, err
}

func (f *memoryFile) Sync() error {
	return f.use("sync", true, func(c *content) error { c.sync(); return nil })
}

func (f *memoryFile) Truncate(sizeBytes int64) error {
	return f.use("truncate", f.writable, func(c *content) error {
		if sizeBytes < 0 {
			return pathError("truncate", f.name, syscall.EINVAL)
		}
		c.truncate(sizeBytes)
		return nil
	})
}

func (f *memoryFile) Allocate(int64) error {
	return f.use("allocate", f.writable, func(*content) error { return nil })
}

func (f *memoryFile) Size() (size int64, err error) {
	err = f.use("stat", true, func(c *content) error { size = int64(len(c.data)); return nil })
	return size, err
}

func (f *memoryFile) SyscallConn() (syscall.RawConn, error) { return nil, errors.ErrUnsupported }

func (f *memoryFile) Name() string { return f.name }

func (f *memoryFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
