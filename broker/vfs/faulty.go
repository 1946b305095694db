package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
)

// OpKind says what an Op is about to do.
type OpKind string

const (
	OpOpen     OpKind = "open"   // OpenFile without O_CREATE, OpenVolume
	OpCreate   OpKind = "create" // OpenFile with it
	OpMkdir    OpKind = "mkdir"
	OpReadDir  OpKind = "readdir"
	OpStat     OpKind = "stat"
	OpRename   OpKind = "rename" // Name is the new name
	OpRemove   OpKind = "remove" // RemoveAll, too
	OpSyncDir  OpKind = "syncdir"
	OpSyncFS   OpKind = "syncfs"
	OpLock     OpKind = "lock"
	OpFree     OpKind = "free"
	OpRead     OpKind = "read"
	OpWrite    OpKind = "write"
	OpSync     OpKind = "sync"
	OpTruncate OpKind = "truncate"
	OpAllocate OpKind = "allocate"
)

// Writes says that the operation changes what is on disk or makes it durable: what a sweep of faults goes through.
func (k OpKind) Writes() bool {
	switch k {
	case OpOpen, OpReadDir, OpStat, OpLock, OpFree, OpRead:
		return false
	}
	return true
}

// Op is one operation about to be done.
type Op struct {
	Kind      OpKind
	Name      string
	N         int64 // counts the operations of this FS from 0
	Offset    int64 // of a read or write
	SizeBytes int64 // of a read, write, truncate or allocate
}

// NewFaulty asks decide before every operation; an error of it is returned in the operation's place, as an
// *fs.PathError. decide is called by one goroutine at a time, in the order of Op.N. ShortWrite makes a write that stops
// half-way; syscall.ENOSPC is a full disk. A sync that fails loses what it should have written: on a Memory a later
// sync succeeds and does not bring it back, as on Linux.
func NewFaulty(inner FS, decide func(op Op) error) FS {
	return &faulty{inner: inner, decide: decide}
}

// ShortWrite is an answer of decide to an OpWrite: writtenBytes arrive, then err is returned (nil: io.ErrShortWrite).
func ShortWrite(writtenBytes int, err error) error {
	if err == nil {
		err = io.ErrShortWrite
	}
	return &shortWrite{writtenBytes, err}
}

type shortWrite struct {
	writtenBytes int
	err          error
}

func (e *shortWrite) Error() string { return e.err.Error() }
func (e *shortWrite) Unwrap() error { return e.err }

type faulty struct {
	inner  FS
	mu     sync.Mutex // held while decide runs: it says the order of operations
	count  int64      // guarded by mu
	decide func(op Op) error
}

func (f *faulty) ask(op Op) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	op.N = f.count
	f.count++
	if err := f.decide(op); err != nil {
		return &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: err}
	}
	return nil
}

func (f *faulty) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	kind := OpOpen
	if flag&os.O_CREATE != 0 {
		kind = OpCreate
	}
	if err := f.ask(Op{Kind: kind, Name: name}); err != nil {
		return nil, err
	}
	file, err := f.inner.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

func (f *faulty) MkdirAll(path string, perm fs.FileMode) error {
	if err := f.ask(Op{Kind: OpMkdir, Name: path}); err != nil {
		return err
	}
	return f.inner.MkdirAll(path, perm)
}

func (f *faulty) ReadDir(path string) ([]fs.DirEntry, error) {
	if err := f.ask(Op{Kind: OpReadDir, Name: path}); err != nil {
		return nil, err
	}
	return f.inner.ReadDir(path)
}

func (f *faulty) Stat(name string) (fs.FileInfo, error) {
	if err := f.ask(Op{Kind: OpStat, Name: name}); err != nil {
		return nil, err
	}
	return f.inner.Stat(name)
}

func (f *faulty) Rename(oldName, newName string) error {
	if err := f.ask(Op{Kind: OpRename, Name: newName}); err != nil {
		return err
	}
	return f.inner.Rename(oldName, newName)
}

func (f *faulty) Remove(name string) error {
	if err := f.ask(Op{Kind: OpRemove, Name: name}); err != nil {
		return err
	}
	return f.inner.Remove(name)
}

func (f *faulty) RemoveAll(path string) error {
	if err := f.ask(Op{Kind: OpRemove, Name: path}); err != nil {
		return err
	}
	return f.inner.RemoveAll(path)
}

func (f *faulty) SyncDir(path string) error {
	if err := f.ask(Op{Kind: OpSyncDir, Name: path}); err != nil {
		return err
	}
	return f.inner.SyncDir(path)
}

func (f *faulty) OpenVolume(path string) (Volume, error) {
	if err := f.ask(Op{Kind: OpOpen, Name: path}); err != nil {
		return nil, err
	}
	v, err := f.inner.OpenVolume(path)
	return &faultyVolume{v, f, path}, err
}

type faultyVolume struct {
	Volume
	fs   *faulty
	path string
}

func (v *faultyVolume) Sync() error {
	if err := v.fs.ask(Op{Kind: OpSyncFS, Name: v.path}); err != nil {
		giveUp(v.fs.inner)
		return err
	}
	return v.Volume.Sync()
}

func (f *faulty) Lock(name string) (io.Closer, error) {
	if err := f.ask(Op{Kind: OpLock, Name: name}); err != nil {
		return nil, err
	}
	return f.inner.Lock(name)
}

func (f *faulty) Incarnation(path string) string { return f.inner.Incarnation(path) }

func (f *faulty) FreeBytes(path string) (int64, error) {
	if err := f.ask(Op{Kind: OpFree, Name: path}); err != nil {
		return 0, err
	}
	return f.inner.FreeBytes(path)
}

// giveUp tells a Memory, or a file of one, that a sync failed.
func giveUp(inner any) {
	if m, ok := inner.(interface{ giveUp() }); ok {
		m.giveUp()
	}
}

type faultyFile struct {
	inner File
	fs    *faulty
}

func (f *faultyFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := f.fs.ask(Op{Kind: OpRead, Name: f.Name(), Offset: offset, SizeBytes: int64(len(p))}); err != nil {
		return 0, err
	}
	return f.inner.ReadAt(p, offset)
}

func (f *faultyFile) WriteAt(p []byte, offset int64) (int, error) {
	return f.write([][]byte{p}, offset, func() (int, error) { return f.inner.WriteAt(p, offset) })
}

func (f *faultyFile) Writev(bufs [][]byte, offset int64) (int, error) {
	return f.write(bufs, offset, func() (int, error) { return f.inner.Writev(bufs, offset) })
}

func (f *faultyFile) write(bufs [][]byte, offset int64, whole func() (int, error)) (int, error) {
	var size int
	for _, b := range bufs {
		size += len(b)
	}
	err := f.fs.ask(Op{Kind: OpWrite, Name: f.Name(), Offset: offset, SizeBytes: int64(size)})
	if err == nil {
		return whole()
	}
	var short *shortWrite
	if !errors.As(err, &short) {
		return 0, err
	}
	n, innerErr := f.inner.Writev(firstBytes(bufs, short.writtenBytes), offset)
	if innerErr != nil {
		return n, innerErr
	}
	return n, err
}

func firstBytes(bufs [][]byte, n int) (first [][]byte) {
	for _, b := range bufs {
		b = b[:min(len(b), max(n, 0))]
		n -= len(b)
		first = append(first, b)
	}
	return first
}

func (f *faultyFile) Sync() error {
	if err := f.fs.ask(Op{Kind: OpSync, Name: f.Name()}); err != nil {
		giveUp(f.inner)
		return err
	}
	return f.inner.Sync()
}

func (f *faultyFile) Truncate(sizeBytes int64) error {
	if err := f.fs.ask(Op{Kind: OpTruncate, Name: f.Name(), SizeBytes: sizeBytes}); err != nil {
		return err
	}
	return f.inner.Truncate(sizeBytes)
}

func (f *faultyFile) Allocate(sizeBytes int64) error {
	if err := f.fs.ask(Op{Kind: OpAllocate, Name: f.Name(), SizeBytes: sizeBytes}); err != nil {
		return err
	}
	return f.inner.Allocate(sizeBytes)
}

func (f *faultyFile) Close() error                          { return f.inner.Close() }
func (f *faultyFile) Size() (int64, error)                  { return f.inner.Size() }
func (f *faultyFile) SyscallConn() (syscall.RawConn, error) { return f.inner.SyscallConn() }
func (f *faultyFile) Name() string                          { return f.inner.Name() }
