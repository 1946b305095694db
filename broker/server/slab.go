package server

import (
	"math/bits"
	"sync"
)

// Buffers come in powers of two from 4 KiB to 128 MiB (a frame has at most 100 MiB by default).
const (
	minSlabShift = 12
	maxSlabShift = 31
)

// slabs is a pool of buffers by size class. Unlike sync.Pool it survives garbage collections, so that large buffers are
// not made anew again and again, and it keeps a bounded number of bytes.
type slabs struct {
	mu        sync.Mutex
	free      [maxSlabShift + 1][][]byte // guarded by mu
	freeBytes int                        // guarded by mu
	maxBytes  int                        // fixed
}

func newSlabs(maxBytes int) *slabs { return &slabs{maxBytes: maxBytes} }

// get returns a buffer of at least sizeBytes, its length being its capacity.
func (s *slabs) get(sizeBytes int) []byte {
	shift := slabShift(sizeBytes)
	s.mu.Lock()
	if n := len(s.free[shift]); n > 0 {
		buf := s.free[shift][n-1]
		s.free[shift][n-1] = nil
		s.free[shift] = s.free[shift][:n-1]
		s.freeBytes -= cap(buf)
		s.mu.Unlock()
		return buf
	}
	s.mu.Unlock()
	return make([]byte, 1<<shift)
}

// put takes a buffer back. A buffer that did not come from get, or that there is no room for, is left to the collector.
func (s *slabs) put(buf []byte) {
	size := cap(buf)
	if size < 1<<minSlabShift || size&(size-1) != 0 || size > 1<<maxSlabShift {
		return
	}
	shift := slabShift(size)
	s.mu.Lock()
	if s.freeBytes+size <= s.maxBytes {
		s.free[shift] = append(s.free[shift], buf[:size])
		s.freeBytes += size
	}
	s.mu.Unlock()
}

func slabShift(sizeBytes int) int {
	if sizeBytes <= 1<<minSlabShift {
		return minSlabShift
	}
	return bits.Len(uint(sizeBytes - 1))
}
