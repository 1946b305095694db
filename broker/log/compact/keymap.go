package compact

import "hash/maphash"

// slotBytes is the memory of one key in the map.
const slotBytes = 24

// keyMap holds the last offset of every key in a bounded table of 128-bit hashes: open addressing, at most three
// quarters full.
type keyMap struct {
	seeds [2]maphash.Seed
	slots []slot
	used  int
}

type slot struct {
	hash   [2]uint64
	offset int64 // 1 + the offset; 0: empty
}

// newKeyMap takes at most maxBytes.
func newKeyMap(maxBytes int) *keyMap {
	size := 16
	for size*2*slotBytes <= maxBytes {
		size *= 2
	}
	return &keyMap{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, slots: make([]slot, size)}
}

func (m *keyMap) find(key []byte) (*slot, [2]uint64) {
	hash := [2]uint64{maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)}
	mask := uint64(len(m.slots) - 1)
	for i := hash[0] & mask; ; i = (i + 1) & mask {
		if s := &m.slots[i]; s.offset == 0 || s.hash == hash {
			return s, hash
		}
	}
}

// put notes the key's last offset; false: the map is full, and the key is not in it.
func (m *keyMap) put(key []byte, offset int64) bool {
	s, hash := m.find(key)
	if s.offset == 0 {
		if m.used >= len(m.slots)/4*3 {
			return false
		}
		m.used++
		s.hash = hash
	}
	s.offset = offset + 1
	return true
}

// get is the key's last offset, -1 when the map does not know it.
func (m *keyMap) get(key []byte) int64 {
	s, _ := m.find(key)
	return s.offset - 1
}
