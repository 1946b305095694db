package replica

import (
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchVersion is the version of Fetch that brokers use among themselves.
const fetchVersion = 17

// fetchRequest is a follower's Fetch, encoded from what the fetcher has in hand. It is a kmsg.Request so that it can be
// sent like one; a test holds it against kmsg's.
type fetchRequest struct {
	nodeID      int32
	brokerEpoch int64
	waitMillis  int32
	maxBytes    int32
	sessionID   int32
	epoch       int32
	asked       []*fetchState  // those of a topic together
	forgotten   []partitionKey // likewise
	maxEach     int32          // bytes of one partition
}

func (*fetchRequest) Key() int16        { return int16(kmsg.Fetch) }
func (*fetchRequest) MaxVersion() int16 { return fetchVersion }
func (*fetchRequest) SetVersion(int16)  {}
func (*fetchRequest) GetVersion() int16 { return fetchVersion }
func (*fetchRequest) IsFlexible() bool  { return true }

// ResponseKind returns what AppendTo's request is answered by.
func (*fetchRequest) ResponseKind() kmsg.Response { return new(fetchAnswer) }

// ReadFrom is not needed: nobody decodes this side.
func (*fetchRequest) ReadFrom([]byte) error { panic("BUG: a follower's Fetch is only encoded") }

// AppendTo appends the body.
func (r *fetchRequest) AppendTo(dst []byte) []byte {
	dst = appendInt32(dst, r.waitMillis)
	dst = appendInt32(dst, 1) // min bytes
	dst = appendInt32(dst, r.maxBytes)
	dst = append(dst, 0) // read uncommitted
	dst = appendInt32(dst, r.sessionID)
	dst = appendInt32(dst, r.epoch)
	dst = r.appendAsked(dst)
	dst = r.appendForgotten(dst)
	dst = append(dst, 1)     // rack: empty
	dst = append(dst, 1, 1)  // one tagged field: number 1, the replica's state
	dst = append(dst, 4+8+1) // its size
	dst = appendInt32(dst, r.nodeID)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.brokerEpoch))
	return append(dst, 0)
}

func (r *fetchRequest) appendAsked(dst []byte) []byte {
	topics := 0
	for i, s := range r.asked {
		if i == 0 || r.asked[i-1].key.id != s.key.id {
			topics++
		}
	}
	dst = appendCount(dst, topics)
	for rest := r.asked; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].key.id == rest[0].key.id {
			n++
		}
		dst = append(dst, rest[0].key.id[:]...)
		dst = appendCount(dst, n)
		for _, s := range rest[:n] {
			dst = appendInt32(dst, s.key.number)
			dst = appendInt32(dst, s.epoch)
			dst = binary.BigEndian.AppendUint64(dst, uint64(s.offset))
			dst = appendInt32(dst, s.lastEpoch)
			dst = binary.BigEndian.AppendUint64(dst, uint64(s.logStart))
			dst = appendInt32(dst, r.maxEach)
			dst = append(dst, 0)
		}
		dst = append(dst, 0)
		rest = rest[n:]
	}
	return dst
}

func (r *fetchRequest) appendForgotten(dst []byte) []byte {
	topics := 0
	for i, k := range r.forgotten {
		if i == 0 || r.forgotten[i-1].id != k.id {
			topics++
		}
	}
	dst = appendCount(dst, topics)
	for rest := r.forgotten; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].id == rest[0].id {
			n++
		}
		dst = append(dst, rest[0].id[:]...)
		dst = appendCount(dst, n)
		for _, k := range rest[:n] {
			dst = appendInt32(dst, k.number)
		}
		dst = append(dst, 0)
		rest = rest[n:]
	}
	return dst
}

func appendInt32(dst []byte, v int32) []byte { return binary.BigEndian.AppendUint32(dst, uint32(v)) }

// appendCount appends the length of a compact array.
func appendCount(dst []byte, n int) []byte { return binary.AppendUvarint(dst, uint64(n)+1) }

// compareKeys orders partitions so that those of a topic are together.
func compareKeys(a, b partitionKey) int {
	for i := range a.id {
		if a.id[i] != b.id[i] {
			return int(a.id[i]) - int(b.id[i])
		}
	}
	return int(a.number) - int(b.number)
}
