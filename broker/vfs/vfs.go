package vfs

import (
	"errors"
	"io"
	"io/fs"
	"syscall"
)

// ErrLocked is wrapped by FS.Lock when another opener holds the lock.
var ErrLocked = errors.New("locked by another process")

// FS is the port to files. Names are slash-separated paths, relative or absolute, as the operating system takes them.
// All methods may be called concurrently.
type FS interface {
	// OpenFile opens or creates a file; flag holds os.O_RDONLY, O_WRONLY or O_RDWR with O_CREATE, O_EXCL, O_TRUNC.
	// A created name is durable only after SyncDir of its directory.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// MkdirAll makes path and its missing parents. Like a file, each is durable only after SyncDir of its parent.
	MkdirAll(path string, perm fs.FileMode) error
	// ReadDir lists a directory by name.
	ReadDir(path string) ([]fs.DirEntry, error)
	Stat(name string) (fs.FileInfo, error)
	// Rename replaces newName atomically, also across a crash; durable after SyncDir of both directories.
	Rename(oldName, newName string) error
	Remove(name string) error
	RemoveAll(path string) error
	// SyncDir makes creates, renames and removes in the directory durable.
	SyncDir(path string) error
	// OpenVolume holds on to the file system that holds path.
	OpenVolume(path string) (Volume, error)
	// Lock takes an advisory exclusive lock on name, which it creates; closing the result releases it.
	// The error wraps ErrLocked when another process or opener holds it.
	Lock(name string) (io.Closer, error)
	// FreeBytes is what an unprivileged writer can still store on the file system that holds path.
	FreeBytes(path string) (int64, error)
	// Incarnation names the life of the page cache behind a directory: as long as the answer stays the same, every byte
	// that was written there can be read, synced or not. It changes when the machine, or the mount, was down in between.
	// Empty where nobody can tell.
	Incarnation(path string) string
}

// Volume is a whole file system, of whatever is on it.
type Volume interface {
	// Sync makes everything durable that is on the file system; errors.ErrUnsupported where there is no such call. It tells
	// every error of writing back since the volume was opened, or since the last Sync, whoever else was told of it.
	Sync() error
	io.Closer
}

// File is an open file. Reads and writes carry their position, so one File serves any number of goroutines.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Writev writes bufs one after the other at offset; a short write returns an error and how much was written.
	Writev(bufs [][]byte, offset int64) (int, error)
	// Sync makes the bytes and the size durable (fdatasync). After the first error nothing about the file may be
	// trusted: a later Sync can succeed although the bytes are lost.
	Sync() error
	Truncate(sizeBytes int64) error
	// Allocate reserves room for the first sizeBytes without changing Size: best effort, nil where unsupported.
	Allocate(sizeBytes int64) error
	Size() (int64, error)
	// SyscallConn gives the descriptor, for sendfile; errors.ErrUnsupported for files that have none.
	SyscallConn() (syscall.RawConn, error)
	// Name is the name given to OpenFile.
	Name() string
}
