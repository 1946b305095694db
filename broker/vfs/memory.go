package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Memory is a file system in memory that remembers what was synced, so that CrashClone can take away what was not.
// It is deterministic: it has no clock (every file has the zero time) and no order of its own.
type Memory struct {
	crashes int // before this one, which is what Incarnation tells; fixed
	mu      sync.Mutex
	root    *inode     // fixed; what hangs below it is guarded by mu
	pending []nameEdit // changes of names that no SyncDir has made durable, oldest first; guarded by mu
}

// inode is a file or a directory. All fields are guarded by Memory.mu.
type inode struct {
	mode     fs.FileMode
	children map[string]*inode // of a directory: what it shows
	durable  map[string]*inode // of a directory: what is certain to survive
	content  content           // of a file
	locked   bool
}

// nameEdit is one change of names that happens whole or not at all: a rename is two changes.
type nameEdit struct{ changes []nameChange }

type nameChange struct {
	dir  *inode
	name string
	to   *inode // nil: the name is gone
}

// NewMemory is an empty file system with a root and the current directory in it.
func NewMemory() *Memory { return &Memory{root: newDirectory(0o755)} }

func newDirectory(perm fs.FileMode) *inode {
	return &inode{mode: fs.ModeDir | perm.Perm(), children: map[string]*inode{}, durable: map[string]*inode{}}
}

// OpenFile is FS.OpenFile.
func (m *Memory) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	node := dir.children[base]
	writable := flag&(os.O_WRONLY|os.O_RDWR) != 0
	switch {
	case node == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, fs.ErrNotExist)
	case node == nil:
		node = &inode{mode: perm.Perm()}
		m.edit(nameChange{dir, base, node})
	case flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, pathError("open", name, fs.ErrExist)
	case node.mode.IsDir() && writable:
		return nil, pathError("open", name, syscall.EISDIR)
	}
	if flag&os.O_TRUNC != 0 && writable {
		node.content.truncate(0)
	}
	return &memoryFile{fs: m, node: node, name: name, writable: writable, readable: flag&os.O_WRONLY == 0}, nil
}

// MkdirAll is FS.MkdirAll.
func (m *Memory) MkdirAll(path string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for _, name := range split(path) {
		next := dir.children[name]
		if next == nil {
			next = newDirectory(perm)
			m.edit(nameChange{dir, name, next})
		}
		if !next.mode.IsDir() {
			return pathError("mkdir", path, syscall.ENOTDIR)
		}
		dir = next
	}
	return nil
}

// ReadDir is FS.ReadDir.
func (m *Memory) ReadDir(path string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.lookup(path)
	if err == nil && !dir.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, pathError("open", path, err)
	}
	entries := make([]fs.DirEntry, 0, len(dir.children))
	for _, name := range sortedNames(dir.children) {
		entries = append(entries, fs.FileInfoToDirEntry(dir.children[name].info(name)))
	}
	return entries, nil
}

// Stat is FS.Stat.
func (m *Memory) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, err := m.lookup(name)
	if err != nil {
		return nil, pathError("stat", name, err)
	}
	return node.info(filepath.Base(name)), nil
}

// Rename is FS.Rename.
func (m *Memory) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.rename(oldName, newName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *Memory) rename(oldName, newName string) error {
	fromDir, from, err := m.parent(oldName)
	if err != nil {
		return err
	}
	toDir, to, err := m.parent(newName)
	if err != nil {
		return err
	}
	node, there := fromDir.children[from], toDir.children[to]
	switch {
	case node == nil:
		return fs.ErrNotExist
	case node == there:
		return nil
	case there == nil:
	case there.mode.IsDir(): // as Go's os.Rename, which refuses empty ones, too
		return fs.ErrExist
	case node.mode.IsDir():
		return syscall.ENOTDIR
	}
	if node.mode.IsDir() && slices.Contains(m.ancestors(newName), node) {
		return syscall.EINVAL
	}
	m.edit(nameChange{fromDir, from, nil}, nameChange{toDir, to, node})
	return nil
}

// Remove is FS.Remove.
func (m *Memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		return pathError("remove", name, err)
	}
	switch node := dir.children[base]; {
	case node == nil:
		return pathError("remove", name, fs.ErrNotExist)
	case len(node.children) > 0:
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.edit(nameChange{dir, base, nil})
	return nil
}

// RemoveAll is FS.RemoveAll. Like the operating system's it removes name by name, from the leaves up.
func (m *Memory) RemoveAll(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(path)
	if err != nil || dir.children[base] == nil {
		return nil
	}
	m.removeAll(dir, base)
	return nil
}

func (m *Memory) removeAll(dir *inode, name string) {
	node := dir.children[name]
	for _, child := range sortedNames(node.children) {
		m.removeAll(node, child)
	}
	m.edit(nameChange{dir, name, nil})
}

// Lock is FS.Lock. A crash releases it.
func (m *Memory) Lock(name string) (io.Closer, error) {
	f, err := m.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	node := f.(*memoryFile).node
	if node.locked {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	node.locked = true
	return &memoryLock{m, node}, nil
}

type memoryLock struct {
	fs   *Memory
	node *inode
}

func (l *memoryLock) Close() error {
	l.fs.mu.Lock()
	defer l.fs.mu.Unlock()
	l.node.locked = false
	return nil
}

// memoryFreeBytes is what Memory says is free; NewFaulty makes disks that are full.
const memoryFreeBytes = 1 << 40

// FreeBytes is FS.FreeBytes: always one tebibyte.
func (m *Memory) FreeBytes(path string) (int64, error) {
	if _, err := m.Stat(path); err != nil {
		return 0, err
	}
	return memoryFreeBytes, nil
}

// Incarnation is FS.Incarnation: it changes with each crash.
func (m *Memory) Incarnation(string) string { return fmt.Sprintf("after %d crashes", m.crashes) }

// lookup finds a file or directory. The caller holds mu.
func (m *Memory) lookup(path string) (*inode, error) {
	node := m.root
	for _, name := range split(path) {
		if !node.mode.IsDir() {
			return nil, syscall.ENOTDIR
		}
		if node = node.children[name]; node == nil {
			return nil, fs.ErrNotExist
		}
	}
	return node, nil
}

// parent finds the directory of a name. The caller holds mu.
func (m *Memory) parent(name string) (dir *inode, base string, err error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", syscall.EINVAL
	}
	dir, err = m.lookup(strings.Join(parts[:len(parts)-1], "/"))
	if err == nil && !dir.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	return dir, parts[len(parts)-1], err
}

func (m *Memory) ancestors(name string) (dirs []*inode) {
	node := m.root
	for _, part := range split(name) {
		if node == nil {
			break
		}
		dirs = append(dirs, node)
		node = node.children[part]
	}
	return dirs
}

// split makes the names of a path; absolute and relative ones mean the same here.
func split(path string) []string {
	clean := strings.TrimPrefix(filepath.ToSlash(filepath.Clean("/"+path)), "/")
	if clean == "" {
		return nil
	}
	return strings.Split(clean, "/")
}

func sortedNames(children map[string]*inode) []string {
	names := make([]string, 0, len(children))
	for name := range children {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func pathError(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }

func (n *inode) info(name string) fs.FileInfo {
	return memoryInfo{name: name, mode: n.mode, sizeBytes: int64(len(n.content.data))}
}

type memoryInfo struct {
	name      string
	mode      fs.FileMode
	sizeBytes int64
}

func (i memoryInfo) Name() string       { return i.name }
func (i memoryInfo) Size() int64        { return i.sizeBytes }
func (i memoryInfo) Mode() fs.FileMode  { return i.mode }
func (i memoryInfo) ModTime() time.Time { return time.Time{} }
func (i memoryInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memoryInfo) Sys() any           { return nil }
