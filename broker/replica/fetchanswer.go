package replica

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica/isr"
)

var errMalformedAnswer = errors.New("the answer to a follower's fetch cannot be decoded")

// fetchAnswer is the answer to a follower's Fetch, read in place: records alias the buffer. Its storage is reused.
//
// Where Kafka leaves a partition with OFFSET_OUT_OF_RANGE without further word, a leader here says where its log begins
// and, in the place of the last stable offset, where it ends: the follower need not ask.
type fetchAnswer struct {
	code      int16
	sessionID int32
	parts     []fetchedPart
}

// fetchedPart is one partition of an answer.
type fetchedPart struct {
	key           partitionKey
	code          int16
	highWatermark int64
	lastStable    int64
	logStart      int64
	records       []byte
	diverging     isr.EpochEnd // Epoch -1: none
}

func (*fetchAnswer) Key() int16                { return int16(kmsg.Fetch) }
func (*fetchAnswer) MaxVersion() int16         { return fetchVersion }
func (*fetchAnswer) SetVersion(int16)          {}
func (*fetchAnswer) GetVersion() int16         { return fetchVersion }
func (*fetchAnswer) IsFlexible() bool          { return true }
func (*fetchAnswer) RequestKind() kmsg.Request { return new(fetchRequest) }
func (*fetchAnswer) AppendTo([]byte) []byte {
	panic("BUG: an answer to a follower is only decoded here")
}

// ReadFrom reads the body of an answer.
func (a *fetchAnswer) ReadFrom(p []byte) error {
	*a = fetchAnswer{parts: a.parts[:0]}
	r := answerReader{p: p}
	r.take(4) // throttle
	a.code, a.sessionID = r.int16(), r.int32()
	for range r.count() {
		var key partitionKey
		copy(key.id[:], r.take(16))
		for range r.count() {
			a.readPart(&r, key)
			if r.bad {
				return errMalformedAnswer
			}
		}
		r.tags(nil)
		if r.bad {
			return errMalformedAnswer
		}
	}
	r.tags(nil)
	if r.bad {
		return errMalformedAnswer
	}
	return nil
}

func (a *fetchAnswer) readPart(r *answerReader, key partitionKey) {
	key.number = r.int32()
	part := fetchedPart{key: key, diverging: isr.EpochEnd{Epoch: -1, EndOffset: -1}}
	part.code = r.int16()
	part.highWatermark, part.lastStable, part.logStart = r.int64(), r.int64(), r.int64()
	for range r.count() { // aborted transactions: none for a follower
		r.take(16)
		r.tags(nil)
		if r.bad {
			return
		}
	}
	r.take(4) // preferred read replica
	part.records = r.take(r.count())
	r.tags(func(tag uint64, value []byte) {
		if tag == 0 && len(value) >= 12 {
			part.diverging = isr.EpochEnd{Epoch: int32(binary.BigEndian.Uint32(value)), EndOffset: int64(binary.BigEndian.Uint64(value[4:]))}
		}
	})
	a.parts = append(a.parts, part)
}

// answerReader reads a body; after the first fault it returns zeros.
type answerReader struct {
	p   []byte
	bad bool
}

func (r *answerReader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.p) {
		r.bad = true
		return nil
	}
	p := r.p[:n:n]
	r.p = r.p[n:]
	return p
}

func (r *answerReader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *answerReader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *answerReader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *answerReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.p = r.p[n:]
	return v
}

// count reads the length of a compact array or of compact bytes; null counts as empty. What follows takes at least a
// byte each.
func (r *answerReader) count() int {
	n := r.uvarint()
	if r.bad || n == 0 {
		return 0
	}
	if n-1 > uint64(len(r.p)) {
		r.bad = true
		return 0
	}
	return int(n - 1)
}

func (r *answerReader) tags(each func(tag uint64, value []byte)) {
	n := r.uvarint()
	for range min(n, uint64(len(r.p)+1)) {
		tag, size := r.uvarint(), r.uvarint()
		if r.bad || size > uint64(len(r.p)) {
			r.bad = true
			return
		}
		value := r.take(int(size))
		if each != nil {
			each(tag, value)
		}
	}
}
