package vfs

import "io/fs"

// OpKind says what an Op is about to do.
type OpKind string

const (
	OpOpen     OpKind = "open"
	OpCreate   OpKind = "create"
	OpMkdir    OpKind = "mkdir"
	OpReadDir  OpKind = "readdir"
	OpStat     OpKind = "stat"
	OpRename   OpKind = "rename"
	OpRemove   OpKind = "remove"
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

// Op is one operation about to be done.
type Op struct {
	Kind      OpKind
	Name      string
	N         int64 // counts all operations of this FS from 0
	Offset    int64 // of a read or write
	SizeBytes int64 // of a read, write, truncate or allocate
}

// NewFaulty asks decide before every operation; an error is returned in its place.
func NewFaulty(inner FS, decide func(op Op) error) FS { return inner }

// WriteFileAtomic replaces name by data: after a crash the file is the old or the new one.
func WriteFileAtomic(fsys FS, name string, data []byte, perm fs.FileMode) error {
	panic("BUG: not yet")
}

// OS is the operating system's files.
func OS() FS { panic("BUG: not yet") }
