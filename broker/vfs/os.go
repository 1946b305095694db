//go:build unix

package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// OS is the operating system's files.
func OS() FS { return osFS{newQuietReads()} }

type osFS struct{ reads *quietReads }

func (s osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &osFile{f, conn, s.reads}, nil
}

func (osFS) MkdirAll(path string, perm fs.FileMode) error { return os.MkdirAll(path, perm) }
func (osFS) ReadDir(path string) ([]fs.DirEntry, error)   { return os.ReadDir(path) }
func (osFS) Stat(name string) (fs.FileInfo, error)        { return os.Stat(name) }
func (osFS) Rename(oldName, newName string) error         { return os.Rename(oldName, newName) }
func (osFS) Remove(name string) error                     { return os.Remove(name) }
func (osFS) RemoveAll(path string) error                  { return os.RemoveAll(path) }

func (osFS) SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := retryInterrupted(func() error { return unix.Fsync(int(d.Fd())) }); err != nil {
		return &fs.PathError{Op: "syncdir", Path: path, Err: err}
	}
	return nil
}

// OpenVolume opens path for good: the kernel keeps for each descriptor which write-back errors of the file system it was
// told of. One that is opened anew would not be told what another process that shares the file system has seen already.
func (s osFS) OpenVolume(path string) (Volume, error) {
	f, err := s.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return osVolume{f.(*osFile)}, nil
}

type osVolume struct{ dir *osFile }

func (v osVolume) Sync() error  { return v.dir.control("syncfs", syncFS) }
func (v osVolume) Close() error { return v.dir.Close() }

// Lock holds an flock, which ends with the process however it ends. It belongs to the opening, so that a second one
// in the same process is refused as well.
func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = retryInterrupted(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) })
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
}

func (osFS) Incarnation(path string) string { return incarnation(path) }

func (osFS) FreeBytes(path string) (int64, error) {
	var s unix.Statfs_t
	if err := retryInterrupted(func() error { return unix.Statfs(path, &s) }); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: path, Err: err}
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}

// osFile reaches the descriptor through conn, which holds it open for the call while another goroutine closes.
type osFile struct {
	*os.File
	conn  syscall.RawConn
	reads *quietReads
}

func (f *osFile) SyscallConn() (syscall.RawConn, error) { return f.conn, nil }

func (f *osFile) Size() (int64, error) {
	info, err := f.File.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Sync() error { return f.control("sync", syncData) }

func (f *osFile) Allocate(sizeBytes int64) error {
	return f.control("allocate", func(fd int) error { return allocate(fd, sizeBytes) })
}

func (f *osFile) Writev(bufs [][]byte, offset int64) (int, error) {
	var written int
	err := f.control("writev", func(fd int) (err error) {
		written, err = writev(fd, bufs, offset)
		return err
	})
	return written, err
}

func (f *osFile) control(op string, call func(fd int) error) error {
	var err error
	if outer := f.conn.Control(func(fd uintptr) {
		err = retryInterrupted(func() error { return call(int(fd)) })
	}); outer != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: fs.ErrClosed}
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return nil
}

func retryInterrupted(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
