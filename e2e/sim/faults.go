package sim

import (
	"slices"
	"time"
)

// faultsBegin is when the first fault may come: the cluster has formed.
const faultsBegin = 2 * time.Second

// scheduleFaults lets faults come one by one, overlapping or not, until the phase ends.
func (w *World) scheduleFaults() {
	mean := w.between(100*time.Millisecond, 1500*time.Millisecond)
	var next func()
	next = func() {
		if w.calm {
			return
		}
		w.fault()
		w.at(w.between(mean/4, mean*2), next)
	}
	w.at(faultsBegin, next)
}

func (w *World) fault() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	faults := []func(*node){
		w.kill, w.kill, w.losePower, w.losePowerOfAll, w.pause, w.pause, w.cutOneWay, w.isolate, w.split, w.ring, w.heal, w.heal,
		w.moveController, w.stopCleanly, w.wipe, w.changeNetwork, w.killLeaderOfController,
	}
	faults[w.rng.IntN(len(faults))](n)
}

// back starts a node again after a while.
func (w *World) back(n *node) {
	w.at(w.between(20*time.Millisecond, 2*time.Second), func() {
		if !n.up {
			w.note("node %d starts", n.id)
			n.start()
		}
	})
}

// gone lets the controller know at once, or not: a connection that ends and an address that refuses tell it.
func (w *World) gone(n *node) {
	if leader := w.node(w.meta.leader); leader != nil && leader.up && leader != n && w.chance(2) {
		life := n.life
		w.at(w.between(time.Millisecond, 30*time.Millisecond), func() {
			if !n.up && n.life == life && w.reaches(leader, n) {
				w.meta.fence(leader, n.id)
			}
		})
	}
}

func (w *World) kill(n *node) {
	if !n.up {
		return
	}
	w.Stats.Kills++
	w.note("node %d is killed", n.id)
	n.end(killed)
	w.gone(n)
	w.back(n)
}

func (w *World) killLeaderOfController(*node) {
	if leader := w.node(w.meta.leader); leader != nil {
		w.kill(leader)
	}
}

func (w *World) losePower(n *node) {
	if !n.up {
		return
	}
	w.Stats.PowerLosses++
	w.note("node %d loses its power", n.id)
	n.end(powerLost)
	for _, l := range n.logs {
		if w.txns == nil { // else the disk decides
			l.losePower(w)
		}
	}
	w.gone(n)
	w.back(n)
}

func (w *World) losePowerOfAll(*node) {
	if !w.chance(3) {
		return
	}
	for _, n := range w.nodes {
		w.losePower(n)
	}
}

// wipe takes a disk away, when somebody else in sync has one.
func (w *World) wipe(n *node) {
	t := w.meta.newest().TopicByID(w.meta.topic)
	if t == nil || !w.chance(2) {
		return
	}
	for _, other := range w.nodes {
		if other.wiped {
			return
		}
	}
	for _, p := range t.Partitions() {
		// Those that may lead are the ISR, and only without one the ELR.
		able := p.ISR
		if len(able) == 0 {
			able = p.ELR
		}
		if isReplica(p, n.id) && !slices.ContainsFunc(able, func(id int32) bool { return id != n.id }) {
			return
		}
	}
	w.Stats.Wipes++
	w.note("node %d loses its disk", n.id)
	n.end(killed)
	n.newDisk()
	w.back(n)
}

func (w *World) pause(n *node) {
	if !n.up || n.paused {
		return
	}
	w.Stats.Pauses++
	w.note("node %d is paused", n.id)
	n.paused = true
	life := n.life
	w.at(w.between(20*time.Millisecond, 3*time.Second), func() {
		if n.life == life {
			w.resume(n)
		}
	})
}

// resume lets everything happen that waited, in its order.
func (w *World) resume(n *node) {
	if !n.paused {
		return
	}
	w.note("node %d goes on", n.id)
	n.paused = false
	for _, e := range n.waiting {
		w.push(&event{at: w.now, node: n, life: e.life, fn: e.fn})
	}
	n.waiting = nil
}

func (w *World) cutOneWay(n *node) {
	other := w.nodes[w.rng.IntN(len(w.nodes))]
	if n == other {
		return
	}
	w.Stats.Cuts++
	w.note("cut from %d to %d", n.id, other.id)
	w.network.cut[n.id][other.id] = true
	w.healLater()
}

// isolate makes a node deaf, mute or both, to the others or to clients, too.
func (w *World) isolate(n *node) {
	kind := w.rng.IntN(3)
	w.Stats.Cuts++
	w.note("node %d is isolated, %d", n.id, kind)
	for id := range w.network.cut {
		if id == int(n.id) || id == 0 && !w.chance(2) {
			continue
		}
		if kind != 1 {
			w.network.cut[id][n.id] = true
		}
		if kind != 0 {
			w.network.cut[n.id][id] = true
		}
	}
	w.healLater()
}

// split parts the nodes in two; sometimes one of them hears both sides (a bridge).
func (w *World) split(bridge *node) {
	bridged := w.chance(2)
	side := make([]bool, len(w.nodes)+1)
	for i := range side {
		side[i] = w.chance(2)
	}
	w.Stats.Cuts++
	w.note("split %v, bridge %v", side, bridged)
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if side[a.id] != side[b.id] && !(bridged && (a == bridge || b == bridge)) {
				w.network.cut[a.id][b.id] = true
			}
		}
	}
	w.healLater()
}

// ring lets each node hear its neighbours only, so that each has a majority of another set.
func (w *World) ring(*node) {
	count := len(w.nodes)
	w.Stats.Cuts++
	w.note("ring")
	for a := range count {
		for b := range count {
			if gap := (a - b + count) % count; gap > 1 && gap < count-1 || count == 3 && gap == 1 {
				w.network.cut[a+1][b+1] = true
			}
		}
	}
	w.healLater()
}

func (w *World) healLater() {
	w.at(w.between(50*time.Millisecond, 4*time.Second), func() { w.heal(nil) })
}

func (w *World) heal(*node) {
	for i := range w.network.cut {
		clear(w.network.cut[i])
	}
	w.note("cuts are mended")
}

func (w *World) moveController(*node) { w.meta.elect() }

func (w *World) stopCleanly(n *node) {
	if n.up && n.epoch != 0 && !n.stopping {
		w.Stats.CleanStops++
		w.note("node %d is asked to stop", n.id)
		n.stopping = true
		life := n.life
		w.at(3*time.Second, func() { // its patience ends
			if n.life == life && n.up {
				w.kill(n)
			}
		})
	}
}

func (w *World) changeNetwork(*node) {
	w.network.slow = w.between(200*time.Microsecond, 60*time.Millisecond)
	w.note("the network takes up to %v", w.network.slow)
}

// mend ends the faults: everything works again, and everybody is started.
func (w *World) mend() {
	w.calm = true
	w.note("everything is mended")
	w.network.heal()
	w.network.slow = 2 * time.Millisecond
	for _, n := range w.nodes {
		w.resume(n)
		if !n.up {
			n.start()
		}
	}
}
