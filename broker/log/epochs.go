package log

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
)

const (
	epochFile   = "leader-epoch-checkpoint"
	noEpoch     = int32(-1)
	noEndOffset = int64(-1)
)

type epochEntry struct {
	epoch       int32
	startOffset int64
}

// epochCache knows where each leader epoch begins: epochs and start offsets both rise. It is written to its file at
// checkpoints, before the recovery point passes a new epoch's first record; recovery finds later ones in the batches.
type epochCache struct {
	mu      sync.RWMutex
	entries []epochEntry // guarded by mu
	dirty   bool         // guarded by mu: the file says something else
}

// assign notes that records from startOffset on are of epoch; older notions that contradict are dropped.
func (c *epochCache) assign(epoch int32, startOffset int64) {
	if epoch < 0 || startOffset < 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.entries); n > 0 {
		last := c.entries[n-1]
		if last.epoch == epoch && startOffset >= last.startOffset {
			return
		}
		for n > 0 && (c.entries[n-1].epoch >= epoch || c.entries[n-1].startOffset >= startOffset) {
			n--
		}
		c.entries = c.entries[:n]
	}
	c.entries = append(c.entries, epochEntry{epoch, startOffset})
	c.dirty = true
}

func (c *epochCache) latest() (int32, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if n := len(c.entries); n > 0 {
		return c.entries[n-1].epoch, true
	}
	return noEpoch, false
}

// endOffsetFor is Kafka's answer to OffsetForLeaderEpoch: the largest known epoch that is not above the requested one,
// and where it ends.
func (c *epochCache) endOffsetFor(requested int32, logEndOffset int64) (int32, int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n := len(c.entries)
	if requested < 0 || n == 0 {
		return noEpoch, noEndOffset
	}
	if c.entries[n-1].epoch == requested {
		return requested, logEndOffset
	}
	higher := sort.Search(n, func(i int) bool { return c.entries[i].epoch > requested })
	switch higher {
	case n:
		return noEpoch, noEndOffset
	case 0:
		return requested, c.entries[0].startOffset
	default:
		return c.entries[higher-1].epoch, c.entries[higher].startOffset
	}
}

func (c *epochCache) at(offset int64) (int32, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].startOffset > offset })
	if i == 0 {
		return noEpoch, false
	}
	return c.entries[i-1].epoch, true
}

// truncateFromEnd forgets epochs that begin at or after endOffset.
func (c *epochCache) truncateFromEnd(endOffset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].startOffset >= endOffset })
	if i < len(c.entries) {
		c.entries, c.dirty = c.entries[:i], true
	}
}

// truncateFromStart forgets epochs that end at or before startOffset; the one that holds it begins there now.
func (c *epochCache) truncateFromStart(startOffset int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := sort.Search(len(c.entries), func(i int) bool { return c.entries[i].startOffset > startOffset })
	if i == 0 || (i == 1 && c.entries[0].startOffset == startOffset) {
		return
	}
	c.entries = slices.Clone(c.entries[i-1:])
	c.entries[0].startOffset = startOffset
	c.dirty = true
}

func (c *epochCache) clear() {
	c.mu.Lock()
	c.dirty = c.dirty || len(c.entries) > 0
	c.entries = nil
	c.mu.Unlock()
}

func (c *epochCache) set(entries []epochEntry) {
	c.mu.Lock()
	c.entries, c.dirty = entries, false
	c.mu.Unlock()
}

// take returns the file's new contents when they have changed, and counts them as written.
func (c *epochCache) take() (p []byte, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed, c.dirty = c.dirty, false
	if !changed {
		return nil, false
	}
	return encodeEpochs(c.entries), true
}

// untake says that what take returned could not be written.
func (c *epochCache) untake() {
	c.mu.Lock()
	c.dirty = true
	c.mu.Unlock()
}

func encodeEpochs(entries []epochEntry) []byte {
	p := appendCheckpointHeader(nil, len(entries))
	for _, e := range entries {
		p = strconv.AppendInt(p, int64(e.epoch), 10)
		p = append(p, ' ')
		p = strconv.AppendInt(p, e.startOffset, 10)
		p = append(p, '\n')
	}
	return p
}

func decodeEpochs(p []byte) ([]epochEntry, error) {
	lines, err := checkpointLines(p)
	if err != nil {
		return nil, err
	}
	entries := make([]epochEntry, 0, len(lines))
	for _, line := range lines {
		epochText, offsetText, _ := strings.Cut(line, " ")
		epoch, err := strconv.ParseInt(epochText, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("%w: line %q", ErrCorruptCheckpoint, line)
		}
		offset, err := strconv.ParseInt(offsetText, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: line %q", ErrCorruptCheckpoint, line)
		}
		e := epochEntry{int32(epoch), offset}
		if n := len(entries); e.epoch < 0 || e.startOffset < 0 || (n > 0 && (e.epoch <= entries[n-1].epoch || e.startOffset <= entries[n-1].startOffset)) {
			return nil, fmt.Errorf("%w: line %q does not rise", ErrCorruptCheckpoint, line)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
