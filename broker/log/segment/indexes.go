package segment

import "sync"

// Indexes bounds the memory of the indexes of sealed segments. An index that was dropped is read again on demand.
type Indexes struct {
	maxBytes int64

	mu    sync.Mutex
	bytes int64      // guarded by mu
	held  []*Segment // guarded by mu; hand walks over it (CLOCK)
	hand  int        // guarded by mu
}

// NewIndexes keeps at most maxBytes, though always the index used last.
func NewIndexes(maxBytes int64) *Indexes { return &Indexes{maxBytes: maxBytes} }

// SizeBytes is for metrics.
func (c *Indexes) SizeBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// add accounts for the index that s just loaded and drops others. The caller holds no lock of a segment.
func (c *Indexes) add(s *Segment, sizeBytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.indexHeldBytes += sizeBytes
	c.bytes += sizeBytes
	c.held = append(c.held, s)
	for range 2 * len(c.held) {
		if c.bytes <= c.maxBytes {
			return
		}
		if c.hand >= len(c.held) {
			c.hand = 0
		}
		victim := c.held[c.hand]
		if victim == s || victim.indexUsed.Swap(false) {
			c.hand++
			continue
		}
		c.drop(c.hand)
		victim.unloadIndex()
	}
}

// remove forgets a segment that leaves its log.
func (c *Indexes) remove(s *Segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.held) - 1; i >= 0; i-- {
		if c.held[i] == s {
			c.drop(i)
		}
	}
}

func (c *Indexes) drop(i int) {
	s := c.held[i]
	c.bytes -= s.indexHeldBytes
	s.indexHeldBytes = 0
	last := len(c.held) - 1
	c.held[i] = c.held[last]
	c.held[last] = nil
	c.held = c.held[:last]
}
