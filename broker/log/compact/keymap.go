package compact

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

const (
	slotBytes = 24
	// keyBytes is what one key takes at most: its slot, and its place in the list of live offsets.
	keyBytes = slotBytes + 8
	// firstSlots is how large the map begins: a small map stays in the processor's caches.
	firstSlots = 1 << 10
	growth     = 4
)

// keyMap holds the last offset of every key of the dirty part: an open-addressing table of 128-bit hashes. It grows up to a
// bound; while it moves to a larger table, the old one, a quarter of it, is there as well.
type keyMap struct {
	seeds    [2]maphash.Seed
	slots    []slot
	used     int
	mayUse   int // keys, before the table grows, or is full
	maxSlots int // fixed after newKeyMap
	maxKeys  int // fixed after newKeyMap
}

type slot struct {
	hash   [2]uint64
	offset int64 // 1 + the offset; 0: empty
}

// newKeyMap takes at most maxBytes. loadFactor is how full the table may get when it cannot grow any more.
func newKeyMap(maxBytes int64, loadFactor float64) *keyMap {
	m := &keyMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, maxSlots: max(int(maxBytes/keyBytes), 2)}
	m.maxKeys = min(max(int(float64(m.maxSlots)*loadFactor), 1), m.maxSlots-1) // a probe ends at an empty slot
	m.resize(firstSlots)
	return m
}

func (m *keyMap) resize(size int) {
	m.slots = make([]slot, min(size, m.maxSlots))
	if m.mayUse = len(m.slots) / 2; len(m.slots) == m.maxSlots {
		m.mayUse = m.maxKeys
	}
}

func (m *keyMap) grow() bool {
	if len(m.slots) == m.maxSlots {
		return false
	}
	old := m.slots
	m.resize(len(old) * growth)
	for i := range old {
		if old[i].offset != 0 {
			*m.free(old[i].hash[0]) = old[i]
		}
	}
	return true
}

// home is where the search for a hash begins.
func (m *keyMap) home(hash uint64) int {
	high, _ := bits.Mul64(hash, uint64(len(m.slots)))
	return int(high)
}

// free is the first empty slot for a hash.
func (m *keyMap) free(hash uint64) *slot {
	for i := m.home(hash); ; i++ {
		if i == len(m.slots) {
			i = 0
		}
		if m.slots[i].offset == 0 {
			return &m.slots[i]
		}
	}
}

// find returns the key's slot, or the empty one where it would be. The second hash is made only where the first is found.
func (m *keyMap) find(hash uint64, key []byte) *slot {
	for i := m.home(hash); ; i++ {
		if i == len(m.slots) {
			i = 0
		}
		s := &m.slots[i]
		if s.offset == 0 || s.hash[0] == hash && s.hash[1] == maphash.Bytes(m.seeds[1], key) {
			return s
		}
	}
}

// put notes the key's last offset; false: the map is full, and the key is not in it.
func (m *keyMap) put(key []byte, offset int64) bool {
	hash := maphash.Bytes(m.seeds[0], key)
	s := m.find(hash, key)
	if s.offset == 0 {
		if m.used >= m.mayUse {
			if !m.grow() {
				return false
			}
			s = m.free(hash)
		}
		m.used++
		s.hash = [2]uint64{hash, maphash.Bytes(m.seeds[1], key)}
	}
	s.offset = offset + 1
	return true
}

// has says that the map knows the key.
func (m *keyMap) has(key []byte) bool {
	return m.find(maphash.Bytes(m.seeds[0], key), key).offset != 0
}

// live lists the offsets of the map, rising: of these records, and no others, the dirty part consists when it is clean.
func (m *keyMap) live() []int64 {
	offsets := make([]int64, 0, m.used)
	for i := range m.slots {
		if at := m.slots[i].offset; at != 0 {
			offsets = append(offsets, at-1)
		}
	}
	slices.Sort(offsets)
	return offsets
}
