package compact

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

const (
	slotBytes = 16
	// keyBytes is what one key takes at most: its slot, and its place in the list of live offsets.
	keyBytes = slotBytes + 8
	// firstSlots is how large the map begins: a small map stays in the processor's caches.
	firstSlots = 1 << 10

	distanceBits = 40
	maxDistance  = 1<<distanceBits - 2
)

// keyMap holds the last offset of every key of the dirty part: an open-addressing table of 88-bit hashes, which are seeded
// anew for each map. It grows up to a bound; while it moves to a larger table, the old one, half of it, is there as well.
//
// Two of n keys have the same hash with a probability of n²/2⁸⁹: for the five million that fit into 128 MiB, 10⁻¹³.
type keyMap struct {
	seeds    [2]maphash.Seed
	from     int64 // offsets are kept as distances from here
	slots    []slot
	used     int
	mayUse   int // keys, before the table grows, or is full
	maxSlots int // fixed after newKeyMap
	maxKeys  int // fixed after newKeyMap
}

// slot is four to a cache line.
type slot struct {
	hash uint64
	rest uint64 // 24 bits of the other hash, then 1 + the distance of the offset; 0: empty
}

// keyHash stands for a key.
type keyHash struct{ hash, other uint64 }

// newKeyMap takes at most maxBytes for keys of offsets from from on. loadFactor is how full the table may get when it
// cannot grow any more.
func newKeyMap(from, maxBytes int64, loadFactor float64) *keyMap {
	m := &keyMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, from: from, maxSlots: max(int(maxBytes/keyBytes), 2)}
	m.maxKeys = min(max(int(float64(m.maxSlots)*loadFactor), 1), m.maxSlots-1) // a probe ends at an empty slot
	m.resize(firstSlots)
	return m
}

func (m *keyMap) resize(size int) {
	m.slots = make([]slot, min(size, m.maxSlots))
	if m.mayUse = len(m.slots) / 5 * 4; len(m.slots) == m.maxSlots {
		m.mayUse = m.maxKeys
	}
}

func (m *keyMap) grow() bool {
	if len(m.slots) == m.maxSlots {
		return false
	}
	old := m.slots
	m.resize(len(old) * 2)
	for i := range old {
		if old[i].rest != 0 {
			*m.find(keyHash{old[i].hash, old[i].rest >> distanceBits << distanceBits}) = old[i]
		}
	}
	return true
}

// hash is what the map knows a key by.
func (m *keyMap) hash(key []byte) keyHash {
	return keyHash{maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)}
}

// find returns the key's slot, or the empty one where it would be.
func (m *keyMap) find(key keyHash) *slot {
	high, _ := bits.Mul64(key.hash, uint64(len(m.slots)))
	for i := int(high); ; i++ {
		if i == len(m.slots) {
			i = 0
		}
		s := &m.slots[i]
		if s.rest == 0 || s.hash == key.hash && (s.rest^key.other)>>distanceBits == 0 {
			return s
		}
	}
}

// put notes the key's last offset; false: the map is full, and the key is not in it.
func (m *keyMap) put(key keyHash, offset int64) bool {
	distance := offset - m.from
	if distance > maxDistance {
		return false
	}
	s := m.find(key)
	if s.rest == 0 {
		if m.used >= m.mayUse {
			if !m.grow() {
				return false
			}
			s = m.find(key)
		}
		m.used++
	}
	*s = slot{key.hash, key.other>>distanceBits<<distanceBits | uint64(distance+1)}
	return true
}

// has says that the map knows the key.
func (m *keyMap) has(key []byte) bool { return m.find(m.hash(key)).rest != 0 }

// live lists the offsets of the map, rising: of these records, and no others, the dirty part consists when it is clean.
func (m *keyMap) live() []int64 {
	offsets := make([]int64, 0, m.used)
	for i := range m.slots {
		if rest := m.slots[i].rest; rest != 0 {
			offsets = append(offsets, m.from+int64(rest&(1<<distanceBits-1))-1)
		}
	}
	slices.Sort(offsets)
	return offsets
}
