package vfs

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// quietReadBytes is up to how much is read from the page cache without telling Go's scheduler: package socket says why.
const quietReadBytes = 256 << 10

// ReadAt reads what is in memory at once, and the rest, which may have to wait for a disk, as os.File does.
func (f *osFile) ReadAt(p []byte, offset int64) (int, error) {
	if len(p) == 0 || len(p) > quietReadBytes {
		return f.File.ReadAt(p, offset)
	}
	r := f.reads.pool.Get().(*quietRead)
	r.vector.Base, r.offset, r.n = unsafe.SliceData(p), offset, 0
	r.vector.SetLen(len(p))
	err := f.conn.Control(r.step)
	n := r.n
	r.vector.Base = nil
	f.reads.pool.Put(r)
	if n == len(p) && err == nil {
		return n, nil
	}
	rest, err := f.File.ReadAt(p[n:], offset+int64(n))
	return n + rest, err
}

// quietRead is one such read. Pooled, so that it allocates nothing.
type quietRead struct {
	vector unix.Iovec
	offset int64
	n      int
	step   func(fd uintptr)
}

// quietReads keeps those that are not in use.
type quietReads struct{ pool sync.Pool }

func newQuietReads() *quietReads {
	return &quietReads{sync.Pool{New: func() any {
		r := new(quietRead)
		r.step = r.read
		return r
	}}}
}

// read takes as little as is there; an error is left for the usual way to find.
func (r *quietRead) read(fd uintptr) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_PREADV2, fd, uintptr(unsafe.Pointer(&r.vector)), 1, uintptr(r.offset), uintptr(r.offset>>32>>(wordBits-32)), unix.RWF_NOWAIT)
	if errno == 0 {
		r.n = int(n)
	}
}

// wordBits is how much of an offset one argument takes.
const wordBits = 32 << (^uint(0) >> 63)
