package vfs

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"syscall"
)

// edit changes names now, and durably once a sync takes it along. The caller holds mu.
func (m *Memory) edit(changes ...nameChange) {
	for _, c := range changes {
		if c.to == nil {
			delete(c.dir.children, c.name)
		} else {
			c.dir.children[c.name] = c.to
		}
	}
	m.pending = append(m.pending, nameEdit{changes})
}

// SyncDir is FS.SyncDir. It makes durable every change of a name in the directory, and what those changes built on;
// the directory's own name is its parent's matter.
func (m *Memory) SyncDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, err := m.lookup(path)
	if err == nil && !dir.mode.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return pathError("open", path, err)
	}
	needed := map[nameKey]bool{}
	durable := make([]bool, len(m.pending))
	for i, e := range slices.Backward(m.pending) { // backward: a change needs the earlier ones of its names
		durable[i] = slices.ContainsFunc(e.changes, func(c nameChange) bool { return c.dir == dir || needed[c.key()] })
		if durable[i] {
			for _, c := range e.changes {
				needed[c.key()] = true
			}
		}
	}
	var rest []nameEdit
	for i, e := range m.pending {
		if durable[i] {
			e.makeDurable()
		} else {
			rest = append(rest, e)
		}
	}
	m.pending = rest
	return nil
}

// OpenVolume is FS.OpenVolume.
func (m *Memory) OpenVolume(path string) (Volume, error) {
	if _, err := m.Stat(path); err != nil {
		return nil, err
	}
	return memoryVolume{m, path}, nil
}

type memoryVolume struct {
	fs   *Memory
	path string
}

func (v memoryVolume) Sync() error { return v.fs.SyncFS(v.path) }
func (memoryVolume) Close() error  { return nil }

// SyncFS makes all there is durable.
func (m *Memory) SyncFS(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.lookup(path); err != nil {
		return pathError("open", path, err)
	}
	for _, e := range m.pending {
		e.makeDurable()
	}
	m.pending = nil
	m.eachFile(func(c *content) { c.sync() })
	return nil
}

// giveUp is what a failed Sync of the volume leaves: see content.giveUp.
func (m *Memory) giveUp() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.eachFile(func(c *content) { c.giveUp() })
}

func (f *memoryFile) giveUp() {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.node.content.giveUp()
}

// eachFile visits every file that has a name, now or after a crash. The caller holds mu.
func (m *Memory) eachFile(visit func(*content)) {
	seen := map[*inode]bool{}
	var walk func(n *inode)
	walk = func(n *inode) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		if !n.mode.IsDir() {
			visit(&n.content)
		}
		for _, child := range n.children {
			walk(child)
		}
		for _, child := range n.durable {
			walk(child)
		}
	}
	walk(m.root)
	for _, e := range m.pending {
		for _, c := range e.changes {
			walk(c.to)
		}
	}
}

// nameKey is a name in a directory.
type nameKey struct {
	dir  *inode
	name string
}

func (c nameChange) key() nameKey { return nameKey{c.dir, c.name} }

func (e nameEdit) makeDurable() {
	for _, c := range e.changes {
		if c.to == nil {
			delete(c.dir.durable, c.name)
		} else {
			c.dir.durable[c.name] = c.to
		}
	}
}

// CrashClone is the file system after a power cut at this moment, in one of the ways that it can be; rng chooses. What
// was synced is all there; each change of a name and each page that was not may be there, or not, or torn. The clone
// is on disk whole, holds no lock and shares nothing with m, which goes on.
func (m *Memory) CrashClone(rng *rand.Rand) *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	root := cloneTree(m.root, m.survivingNames(rng), func(c *content) []byte { return c.survive(rng) })
	return &Memory{root: root, crashes: m.crashes + 1}
}

// KillClone is the file system as another process finds it after this one was killed: everything is there, synced or
// not. The clone is on disk whole, holds no lock and shares nothing with m, which goes on.
func (m *Memory) KillClone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	root := cloneTree(m.root, func(n *inode) map[string]*inode { return n.children }, func(c *content) []byte { return bytes.Clone(c.data) })
	return &Memory{root: root, crashes: m.crashes}
}

// cloneTree copies a tree whose directories hold what names says and whose files hold what data says.
func cloneTree(root *inode, names func(dir *inode) map[string]*inode, data func(*content) []byte) *inode {
	clones := map[*inode]*inode{}
	var clone func(n *inode) *inode
	clone = func(n *inode) *inode {
		if c := clones[n]; c != nil {
			return c
		}
		if !n.mode.IsDir() {
			c := &inode{mode: n.mode}
			c.content.data = data(&n.content)
			c.content.sync()
			clones[n] = c
			return c
		}
		c := newDirectory(n.mode)
		clones[n] = c
		after := names(n)
		for _, name := range sortedNames(after) {
			child := clone(after[name])
			c.children[name], c.durable[name] = child, child
		}
		return c
	}
	return clone(root)
}

// survivingNames throws the dice for each change of names, oldest first. One survives only when every earlier change
// of the same names did: journals keep that order, and only so does a synced name never get lost on the way to another.
func (m *Memory) survivingNames(rng *rand.Rand) func(dir *inode) map[string]*inode {
	mode := rng.IntN(3) // all lost, all there, each for itself
	after := map[*inode]map[string]*inode{}
	names := func(dir *inode) map[string]*inode {
		if after[dir] == nil {
			after[dir] = make(map[string]*inode, len(dir.durable))
			for name, node := range dir.durable {
				after[dir][name] = node
			}
		}
		return after[dir]
	}
	lost := map[nameKey]bool{}
	for _, e := range m.pending {
		survived := mode == 1 || mode == 2 && rng.IntN(2) == 0
		survived = survived && !slices.ContainsFunc(e.changes, func(c nameChange) bool { return lost[c.key()] })
		for _, c := range e.changes {
			switch {
			case !survived:
				lost[c.key()] = true
			case c.to == nil:
				delete(names(c.dir), c.name)
			default:
				names(c.dir)[c.name] = c.to
			}
		}
	}
	return names
}
