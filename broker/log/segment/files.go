package segment

import (
	"os"
	"sync"
	"sync/atomic"

	"github.com/millrace-io/millrace/broker/vfs"
)

// Files bounds how many data files are open at a time. Files in use are never closed, so the bound is passed when more
// than that many are pinned at once.
type Files struct {
	fs      vfs.FS
	max     int
	buffers sync.Pool // of *[InlineBytes]byte, for reads

	mu   sync.Mutex
	open []*openFile // guarded by mu; hand walks over it (CLOCK)
	hand int         // guarded by mu
}

// InlineBytes is up to how much a read returns as bytes rather than as a place in a file.
const InlineBytes = 64 << 10

// NewFiles keeps at most max files open.
func NewFiles(fs vfs.FS, max int) *Files { return &Files{fs: fs, max: max} }

// FS is where the files are.
func (c *Files) FS() vfs.FS { return c.fs }

// OpenCount is for metrics.
func (c *Files) OpenCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// Buffer lends a read buffer.
func (c *Files) Buffer() *[InlineBytes]byte {
	if b, ok := c.buffers.Get().(*[InlineBytes]byte); ok {
		return b
	}
	return new([InlineBytes]byte)
}

// PutBuffer takes it back.
func (c *Files) PutBuffer(b *[InlineBytes]byte) { c.buffers.Put(b) }

// openFile is the descriptor of one segment's data file, if it is open. The zero value is closed.
type openFile struct {
	// refs is 1 + the number of pins while the file is open, else 0. It leaves 0 only under mu of Files and reaches 0
	// only by eviction or close, so a pin taken from a positive value keeps handle valid.
	refs   atomic.Int32
	used   atomic.Bool
	dirty  atomic.Bool // has unsynced bytes: evicted last
	doomed atomic.Bool // closed as soon as nobody pins it
	handle vfs.File    // valid while refs > 0
}

func (f *openFile) pin() bool {
	for {
		refs := f.refs.Load()
		if refs <= 0 {
			return false
		}
		if f.refs.CompareAndSwap(refs, refs+1) {
			if !f.used.Load() {
				f.used.Store(true)
			}
			return true
		}
	}
}

func (c *Files) unpin(f *openFile) {
	if f.refs.Add(-1) == 1 && f.doomed.Load() {
		c.close(f)
	}
}

// acquire pins the file and opens it where needed. name is called only to open.
func (c *Files) acquire(f *openFile, name func() string, flag int) error {
	if f.pin() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.pin() {
		return nil
	}
	if f.doomed.Load() {
		return os.ErrNotExist
	}
	c.makeRoom()
	handle, err := c.fs.OpenFile(name(), flag, 0o644)
	if err != nil {
		return err
	}
	f.handle = handle
	f.used.Store(true)
	f.refs.Store(2)
	c.open = append(c.open, f)
	return nil
}

// makeRoom closes a file that nobody pins, rather one that was not used lately and has nothing to sync. A file closed
// with unsynced bytes is opened again for its sync; DESIGN.md says why that is sound.
func (c *Files) makeRoom() {
	for _, evenDirty := range [...]bool{false, true} {
		for range 2 * len(c.open) {
			if len(c.open) < c.max {
				return
			}
			if c.hand >= len(c.open) {
				c.hand = 0
			}
			f := c.open[c.hand]
			if f.used.Swap(false) || (f.dirty.Load() && !evenDirty) || !f.refs.CompareAndSwap(1, 0) {
				c.hand++
				continue
			}
			c.forget(c.hand)
			f.handle.Close() // nothing is buffered on our side; what the kernel holds is synced by name later
			f.handle = nil
		}
	}
}

func (c *Files) forget(i int) {
	last := len(c.open) - 1
	c.open[i] = c.open[last]
	c.open[last] = nil
	c.open = c.open[:last]
}

// close closes the file now, or when the last reader that pins it lets go.
func (c *Files) close(f *openFile) {
	f.doomed.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if !f.refs.CompareAndSwap(1, 0) {
		return
	}
	for i, o := range c.open {
		if o == f {
			c.forget(i)
			break
		}
	}
	f.handle.Close()
	f.handle = nil
}

// CloseAll closes what nobody pins and reports how many files stay open.
func (c *Files) CloseAll() (pinned int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.open[:0]
	for _, f := range c.open {
		if f.refs.CompareAndSwap(1, 0) {
			f.handle.Close()
			f.handle = nil
			continue
		}
		kept = append(kept, f)
	}
	clear(c.open[len(kept):])
	c.open = kept
	return len(kept)
}
