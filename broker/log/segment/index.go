package segment

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

const (
	offsetEntrySize = 8
	timeEntrySize   = 12
)

// ErrCorruptIndex is wrapped by every error of the index decoders. An index is rebuilt from the data file.
var ErrCorruptIndex = errors.New("corrupt index")

// offsetEntry says that the batch at position ends with baseOffset+relativeOffset.
type offsetEntry struct {
	relativeOffset uint32
	position       uint32
}

// timeEntry says that no batch before baseOffset+relativeOffset, that one included, is later than the timestamp.
type timeEntry struct {
	timestampMillis int64
	relativeOffset  uint32
}

// Index is the offset and time index of one segment in memory.
type Index struct {
	offsets []offsetEntry
	times   []timeEntry
}

func (x *Index) sizeBytes() int64 {
	return int64(cap(x.offsets))*8 + int64(cap(x.times))*16 + 64
}

func (x *Index) addOffset(relativeOffset, position uint32) {
	x.offsets = append(x.offsets, offsetEntry{relativeOffset, position})
}

// addTime keeps timestamps and offsets rising.
func (x *Index) addTime(timestampMillis int64, relativeOffset uint32) {
	if n := len(x.times); n > 0 {
		last := x.times[n-1]
		if timestampMillis <= last.timestampMillis || relativeOffset < last.relativeOffset {
			return
		}
	} else if timestampMillis < 0 {
		return
	}
	x.times = append(x.times, timeEntry{timestampMillis, relativeOffset})
}

// floor is the position of the last indexed batch that ends at or before relativeOffset; 0 when there is none.
func (x *Index) floor(relativeOffset uint32) (e offsetEntry, ok bool) {
	i := sort.Search(len(x.offsets), func(i int) bool { return x.offsets[i].relativeOffset > relativeOffset })
	if i == 0 {
		return offsetEntry{}, false
	}
	return x.offsets[i-1], true
}

// boundary is the last batch start in (after, limit]; it is false when no indexed batch begins there.
func (x *Index) boundary(after, limit int64) (int64, bool) {
	i := sort.Search(len(x.offsets), func(i int) bool { return int64(x.offsets[i].position) > limit })
	if i == 0 || int64(x.offsets[i-1].position) <= after {
		return 0, false
	}
	return int64(x.offsets[i-1].position), true
}

// offsetAt is where the first indexed batch ends that begins at position or after it.
func (x *Index) offsetAt(position int64) (relativeOffset uint32, ok bool) {
	i := sort.Search(len(x.offsets), func(i int) bool { return int64(x.offsets[i].position) >= position })
	if i == len(x.offsets) {
		return 0, false
	}
	return x.offsets[i].relativeOffset, true
}

// timeFloor is the last entry whose timestamp is at most timestampMillis.
func (x *Index) timeFloor(timestampMillis int64) (e timeEntry, ok bool) {
	i := sort.Search(len(x.times), func(i int) bool { return x.times[i].timestampMillis > timestampMillis })
	if i == 0 {
		return timeEntry{}, false
	}
	return x.times[i-1], true
}

// truncate drops what speaks of relativeOffset and later, and of positions from position on.
func (x *Index) truncate(relativeOffset uint32, position int64) {
	i := sort.Search(len(x.offsets), func(i int) bool {
		return x.offsets[i].relativeOffset >= relativeOffset || int64(x.offsets[i].position) >= position
	})
	x.offsets = x.offsets[:i]
	j := sort.Search(len(x.times), func(i int) bool { return x.times[i].relativeOffset >= relativeOffset })
	x.times = x.times[:j]
}

func (x *Index) clone() *Index {
	return &Index{offsets: slices.Clone(x.offsets), times: slices.Clone(x.times)}
}

func (x *Index) encodeOffsets() []byte {
	p := make([]byte, 0, len(x.offsets)*offsetEntrySize)
	for _, e := range x.offsets {
		p = binary.BigEndian.AppendUint32(p, e.relativeOffset)
		p = binary.BigEndian.AppendUint32(p, e.position)
	}
	return p
}

func (x *Index) encodeTimes() []byte {
	p := make([]byte, 0, len(x.times)*timeEntrySize)
	for _, e := range x.times {
		p = binary.BigEndian.AppendUint64(p, uint64(e.timestampMillis))
		p = binary.BigEndian.AppendUint32(p, e.relativeOffset)
	}
	return p
}

// decodeOffsets reads an .index file of a segment of sizeBytes.
func decodeOffsets(p []byte, sizeBytes int64) ([]offsetEntry, error) {
	if len(p)%offsetEntrySize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no multiple of %d", ErrCorruptIndex, len(p), offsetEntrySize)
	}
	entries := make([]offsetEntry, 0, len(p)/offsetEntrySize)
	for ; len(p) > 0; p = p[offsetEntrySize:] {
		e := offsetEntry{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])}
		if n := len(entries); n > 0 && (e.relativeOffset <= entries[n-1].relativeOffset || e.position <= entries[n-1].position) {
			return nil, fmt.Errorf("%w: entry %d does not rise", ErrCorruptIndex, n)
		}
		if int64(e.position) >= sizeBytes || e.relativeOffset > maxRelativeOffset {
			return nil, fmt.Errorf("%w: entry %d points outside the segment", ErrCorruptIndex, len(entries))
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// decodeTimes reads a .timeindex file.
func decodeTimes(p []byte) ([]timeEntry, error) {
	if len(p)%timeEntrySize != 0 {
		return nil, fmt.Errorf("%w: %d bytes are no multiple of %d", ErrCorruptIndex, len(p), timeEntrySize)
	}
	entries := make([]timeEntry, 0, len(p)/timeEntrySize)
	for ; len(p) > 0; p = p[timeEntrySize:] {
		e := timeEntry{int64(binary.BigEndian.Uint64(p)), binary.BigEndian.Uint32(p[8:])}
		if n := len(entries); n > 0 && (e.timestampMillis <= entries[n-1].timestampMillis || e.relativeOffset < entries[n-1].relativeOffset) {
			return nil, fmt.Errorf("%w: entry %d does not rise", ErrCorruptIndex, n)
		}
		if e.timestampMillis < 0 || e.relativeOffset > maxRelativeOffset {
			return nil, fmt.Errorf("%w: entry %d is impossible", ErrCorruptIndex, len(entries))
		}
		entries = append(entries, e)
	}
	return entries, nil
}
