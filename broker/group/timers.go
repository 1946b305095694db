package group

import (
	"container/heap"
	"time"
)

// timer is one deadline of a group or of a member. Its owner keeps it and reschedules it in place.
type timer struct {
	at    time.Time
	index int // in the heap; -1: not scheduled
	fire  func(now time.Time, do *effects)
	group *group // if set: nothing happens when this is not the group any more
}

func newTimer(fire func(now time.Time, do *effects)) *timer { return &timer{index: -1, fire: fire} }

// timers is a heap by deadline.
type timers struct{ heap timerHeap }

func (t *timers) schedule(x *timer, at time.Time) {
	x.at = at
	if x.index >= 0 {
		heap.Fix(&t.heap, x.index)
	} else {
		heap.Push(&t.heap, x)
	}
}

func (t *timers) cancel(x *timer) {
	if x != nil && x.index >= 0 {
		heap.Remove(&t.heap, x.index)
	}
}

// next is the earliest deadline.
func (t *timers) next() (time.Time, bool) {
	if len(t.heap) == 0 {
		return time.Time{}, false
	}
	return t.heap[0].at, true
}

// popDue takes the earliest timer if it is due.
func (t *timers) popDue(now time.Time) *timer {
	if len(t.heap) == 0 || t.heap[0].at.After(now) {
		return nil
	}
	return heap.Pop(&t.heap).(*timer)
}

type timerHeap []*timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}
