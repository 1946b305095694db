package log

import (
	"sync"
	"sync/atomic"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// lent is what was appended last, while the memory of who appended it is still there: followers and consumers that read
// at once, because the appender itself gives them their answers, need no file. The file says the same.
type lent struct {
	held atomic.Bool // there is something; a look costs readers no lock

	mu       sync.Mutex
	segment  *segment.Segment // guarded by mu: where the bytes are, too; nil: nothing is lent
	position int64            // guarded by mu: of the first of them in the segment's file
	bufs     [][]byte         // guarded by mu
}

// set lends the batches of one write. It lasts until clear or the next set.
func (t *lent) set(s *segment.Segment, position int64, bufs [][]byte) {
	t.mu.Lock()
	clear(t.bufs)
	t.segment, t.position, t.bufs = s, position, append(t.bufs[:0], bufs...)
	t.held.Store(true)
	t.mu.Unlock()
}

// clear takes back whatever is lent; nobody reads it any more when it returns.
func (t *lent) clear() {
	if !t.held.Load() {
		return
	}
	t.mu.Lock()
	t.held.Store(false)
	clear(t.bufs)
	t.segment, t.bufs = nil, t.bufs[:0]
	t.mu.Unlock()
}

// holds reports whether all of a place is lent. It may no longer be when it is read.
func (t *lent) holds(s *segment.Segment, place segment.Place) bool {
	if !t.held.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.covers(s, place.Position, place.SizeBytes)
}

// covers is holds for who has mu.
func (t *lent) covers(s *segment.Segment, position, sizeBytes int64) bool {
	if t.segment != s || position < t.position {
		return false
	}
	end := t.position
	for _, b := range t.bufs {
		end += int64(len(b))
	}
	return position+sizeBytes <= end
}

// read fills p with what lies at a position of the segment, if all of it is lent.
func (t *lent) read(p []byte, s *segment.Segment, position int64) bool {
	if !t.held.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.covers(s, position, int64(len(p))) {
		return false
	}
	skip := position - t.position
	for _, b := range t.bufs {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		p = p[copy(p, b[skip:]):]
		skip = 0
	}
	return true
}

// Lend is Append for who keeps the memory of the entries as it is until Reclaim: what is read before that need not come
// from the file.
func (l *Log) Lend(entries []Entry, leaderEpoch int32, origin Origin) (appended int, err error) {
	return l.append(entries, leaderEpoch, origin, true)
}

// Reclaim ends what Lend began: nobody reads the memory of the entries any more when it returns.
func (l *Log) Reclaim() { l.lent.clear() }
