package sim

import (
	"math/rand/v2"
	"time"
)

// network carries messages between nodes; number 0 is the clients. Which way is cut, how slow and how lossy it is changes
// with the faults.
type network struct {
	cut       [][]bool // from, to
	slow      time.Duration
	lossEvery int // one of so many is lost; 0: none
	twice     int // one of so many comes twice; 0: none
}

func newNetwork(nodes int, rng *rand.Rand) network {
	n := network{cut: make([][]bool, nodes+1), slow: time.Duration(200+rng.IntN(1500)) * time.Microsecond}
	for i := range n.cut {
		n.cut[i] = make([]bool, nodes+1)
	}
	if rng.IntN(2) == 0 {
		n.lossEvery = 10 + rng.IntN(200)
	}
	if rng.IntN(2) == 0 {
		n.twice = 10 + rng.IntN(200)
	}
	return n
}

func (n *network) heal() {
	for i := range n.cut {
		clear(n.cut[i])
	}
	n.lossEvery, n.twice = 0, 0
}

func number(n *node) int32 {
	if n == nil {
		return 0
	}
	return n.id
}

// send carries a message, or loses it: fn happens on to (nil: at the clients). A process that was started meanwhile does not
// get what was sent to the one before it.
func (w *World) send(from, to *node, fn func()) {
	copies := 1
	if n := w.network.twice; n > 0 && w.chance(n) {
		copies = 2
	}
	for range copies {
		if w.network.cut[number(from)][number(to)] || w.network.lossEvery > 0 && w.chance(w.network.lossEvery) {
			continue
		}
		delay := w.between(w.network.slow/4, w.network.slow)
		if w.chance(20) {
			delay *= time.Duration(1 + w.rng.IntN(40)) // overtaken by others
		}
		if to == nil {
			w.at(delay, fn)
		} else {
			w.on(to, delay, fn)
		}
	}
}

// call asks to and tells the answer to from, once; ok is false when none came in time. handle may answer at any time, or
// never, or twice.
func (w *World) call(from, to *node, timeout time.Duration, handle func(answer func(any)), done func(answer any, ok bool)) {
	over := false
	end := func(answer any, ok bool) {
		if !over {
			over = true
			done(answer, ok)
		}
	}
	answer := func(v any) { w.send(to, from, func() { end(v, true) }) }
	w.send(from, to, func() { handle(answer) })
	expire := func() { end(nil, false) }
	if from == nil {
		w.at(timeout, expire)
	} else {
		w.on(from, timeout, expire)
	}
}

// request is call to the services of a node, through a proxy that now and then holds a request back until whoever sent it has given up,
// or sends it once more when it is long answered; meddled says that it does so with this one. A request that is fragile is not
// handled twice, nor after it was given up.
func (w *World) request(from, to *node, timeout time.Duration, fragile bool, handle func(s *services, answer func(any)), done func(answer any, ok bool)) (meddled bool) {
	over, begun := false, false
	handled := func(answer func(any)) {
		if to.services != nil && !(fragile && (over || begun)) {
			begun = true
			handle(to.services, answer)
		}
	}
	prompt := handled
	if meddled = !w.calm && w.chance(10); meddled {
		w.Stats.Meddled++
		late := w.between(20*time.Millisecond, 3*time.Second)
		if w.chance(2) {
			prompt = func(answer func(any)) { w.on(to, late, func() { handled(answer) }) }
		} else {
			w.at(late, func() { w.send(nil, to, func() { handled(func(any) {}) }) })
		}
	}
	w.call(from, to, timeout, prompt, func(answer any, ok bool) {
		over = true
		done(answer, ok)
	})
	return meddled
}

// reaches says whether two nodes hear each other.
func (w *World) reaches(a, b *node) bool {
	return a == b || !w.network.cut[a.id][b.id] && !w.network.cut[b.id][a.id]
}
