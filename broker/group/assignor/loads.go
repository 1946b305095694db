package assignor

import "container/heap"

// loads is a heap of members by how many partitions they have: the least first, or the most where sign is -1. Equals are
// in the order of their places, so that the outcome is always the same.
type loads struct {
	load  []int // of every member; its owner's
	heap  []int // members
	place map[int]int
	sign  int
}

func newLoads(load []int, members []int) *loads     { return newHeap(load, members, 1) }
func newMostLoads(load []int, members []int) *loads { return newHeap(load, members, -1) }

func newHeap(load []int, members []int, sign int) *loads {
	l := &loads{load: load, heap: append([]int(nil), members...), place: make(map[int]int, len(members)), sign: sign}
	for i, m := range l.heap {
		l.place[m] = i
	}
	heap.Init(l)
	return l
}

func (l *loads) least() int { return l.heap[0] }
func (l *loads) most() int  { return l.heap[0] }
func (l *loads) fixLeast()  { heap.Fix(l, 0) }
func (l *loads) fixMost()   { heap.Fix(l, 0) }
func (l *loads) dropMost()  { heap.Pop(l) }

// fix puts a member whose load changed to its place, if it is in the heap.
func (l *loads) fix(member int) {
	if i, ok := l.place[member]; ok {
		heap.Fix(l, i)
	}
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (l *loads) Len() int { return len(l.heap) }

// Less orders by load, then by place.
func (l *loads) Less(i, j int) bool {
	a, b := l.heap[i], l.heap[j]
	if l.load[a] != l.load[b] {
		return l.sign*l.load[a] < l.sign*l.load[b]
	}
	return a < b
}

// Swap keeps the places.
func (l *loads) Swap(i, j int) {
	l.heap[i], l.heap[j] = l.heap[j], l.heap[i]
	l.place[l.heap[i]], l.place[l.heap[j]] = i, j
}

// Push is not used: heaps only shrink.
func (l *loads) Push(any) { panic("BUG: a heap of loads does not grow") }

// Pop takes the last.
func (l *loads) Pop() any {
	last := l.heap[len(l.heap)-1]
	l.heap = l.heap[:len(l.heap)-1]
	delete(l.place, last)
	return last
}
