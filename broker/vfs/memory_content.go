package vfs

import (
	"math/rand/v2"
	"slices"
)

// pageSize is what the model writes back at once, as kernels do.
const pageSize = 4096

// content is the bytes of a file and what of them is certain. Guarded by Memory.mu.
type content struct {
	data []byte // what readers see
	// disk is what each page that was written since the last sync holds on disk, cut at the end of the file there:
	// the page's bytes of then, which a crash may bring back. Pages not in it are on disk as they are in data.
	disk map[int64][]byte
	// lost is as disk, for pages that a failed sync gave up: they look clean, so that no sync writes them again.
	lost map[int64][]byte
	// diskSize is the size on disk. lowest is the smallest size since the last sync: bytes behind it were cut off.
	diskSize, lowest int64
}

func (c *content) write(p []byte, offset int64) {
	end := offset + int64(len(p))
	if len(p) == 0 {
		return
	}
	c.remember(min(offset, int64(len(c.data))), end)
	if grow := end - int64(len(c.data)); grow > 0 {
		c.data = append(c.data, make([]byte, grow)...)
	}
	copy(c.data[offset:], p)
}

func (c *content) truncate(sizeBytes int64) {
	size := int64(len(c.data))
	c.remember(min(size, sizeBytes), max(size, sizeBytes))
	c.lowest = min(c.lowest, sizeBytes)
	if sizeBytes > size {
		c.data = append(c.data, make([]byte, sizeBytes-size)...)
		return
	}
	clear(c.data[sizeBytes:]) // the room may be grown into again
	c.data = c.data[:sizeBytes]
}

// remember keeps the disk's state of the pages of [from, to) before they change.
func (c *content) remember(from, to int64) {
	if from >= to {
		return
	}
	if c.disk == nil {
		c.disk = map[int64][]byte{}
	}
	for page := from / pageSize; page <= (to-1)/pageSize; page++ {
		if _, dirty := c.disk[page]; dirty {
			continue
		}
		if old, lost := c.lost[page]; lost { // written again: the next sync takes it along
			c.disk[page] = old
			delete(c.lost, page)
			continue
		}
		c.disk[page] = slices.Clone(pageOf(c.data, page, min(c.diskSize, int64(len(c.data)))))
	}
}

func (c *content) sync() {
	c.disk = nil
	c.diskSize, c.lowest = int64(len(c.data)), int64(len(c.data))
}

// giveUp is what Linux does to the pages of a sync that failed: they count as clean and are not written again.
func (c *content) giveUp() {
	if c.lost == nil {
		c.lost = map[int64][]byte{}
	}
	for page, old := range c.disk {
		c.lost[page] = old
	}
	c.disk = nil
}

// certain says that a crash changes nothing.
func (c *content) certain() bool {
	return len(c.disk) == 0 && len(c.lost) == 0 && c.diskSize == int64(len(c.data))
}

// survive is the file after a crash: one of the ways that it can be.
func (c *content) survive(rng *rand.Rand) []byte {
	if c.certain() {
		return slices.Clone(c.data)
	}
	out := c.onDisk()
	fates := newFates(rng, int64(len(c.data)))
	if c.lowest < c.diskSize && rng.IntN(2) == 0 { // cut since the last sync, and the cut is lost
		for _, page := range c.uncertain() {
			if (page+1)*pageSize <= c.lowest { // pages behind it were written to other blocks: lost with it
				fates.apply(out, c.data, page)
			}
		}
		return out
	}
	out = out[:min(c.lowest, c.diskSize)]
	if grown := fates.size(int64(len(out)), int64(len(c.data))) - int64(len(out)); grown > 0 {
		out = append(out, make([]byte, grown)...)
	}
	for _, page := range c.uncertain() {
		fates.apply(out, c.data, page)
	}
	return out
}

// onDisk is the file as the last sync left it.
func (c *content) onDisk() []byte {
	out := make([]byte, c.diskSize)
	copy(out, c.data)
	for _, page := range c.uncertain() {
		old, dirty := c.disk[page]
		if !dirty {
			old = c.lost[page]
		}
		if start := page * pageSize; start < c.diskSize {
			room := out[start:min(start+pageSize, c.diskSize)]
			clear(room[copy(room, old):])
		}
	}
	return out
}

// uncertain is the pages that a crash may bring back, in order.
func (c *content) uncertain() []int64 {
	pages := make([]int64, 0, len(c.disk)+len(c.lost))
	for page := range c.disk {
		pages = append(pages, page)
	}
	for page := range c.lost {
		pages = append(pages, page)
	}
	slices.Sort(pages)
	return pages
}

// pageOf is the bytes of a page of data that lie below size.
func pageOf(data []byte, page, size int64) []byte {
	start, end := page*pageSize, min((page+1)*pageSize, size)
	if start >= end {
		return nil
	}
	return data[start:end]
}

// fates decides what a crash leaves of one file's unsynced bytes.
type fates struct {
	rng  *rand.Rand
	mode int   // one of the fates below, for the whole file
	cut  int64 // of fateCut: bytes before it survived, bytes behind it did not
}

const (
	fateNone = iota // nothing survived
	fateAll         // everything did
	fateCut         // a torn tail
	fateEach        // each page for itself
	fateCount
)

func newFates(rng *rand.Rand, size int64) *fates {
	return &fates{rng: rng, mode: rng.IntN(fateCount), cut: rng.Int64N(size + 1)}
}

// size chooses between the size on disk and the size in memory.
func (f *fates) size(onDisk, inMemory int64) int64 {
	switch f.mode {
	case fateNone:
		return onDisk
	case fateAll:
		return inMemory
	case fateCut:
		return max(onDisk, f.cut)
	}
	return onDisk + f.rng.Int64N(inMemory-onDisk+1)
}

// apply puts what survived of a page of data into out.
func (f *fates) apply(out, data []byte, page int64) {
	fresh := pageOf(data, page, min(int64(len(data)), int64(len(out))))
	keep := int64(len(fresh))
	switch f.mode {
	case fateNone:
		keep = 0
	case fateCut:
		keep = min(max(f.cut-page*pageSize, 0), keep)
	case fateEach:
		switch f.rng.IntN(3) {
		case 0:
			keep = 0
		case 1:
			keep = f.rng.Int64N(keep + 1)
		}
	}
	copy(out[min(page*pageSize, int64(len(out))):], fresh[:keep])
}
