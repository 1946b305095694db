package metadata

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

const (
	// movesPause is the least between two steps of moving: a step looks at every partition.
	movesPause = 50 * time.Millisecond
	// loadsAge is how old sizes and traffic may be that moves are planned by; asking for them costs every broker something.
	loadsAge = 10 * time.Second
	// loadsTimeout bounds how long brokers are waited for; whoever did not answer is planned for without.
	loadsTimeout = 5 * time.Second
	// movesRetry is the pause after a step that could not be taken.
	movesRetry = time.Second
)

// moveReplicas runs until the node closes and, while this node is the controller, drains and balances brokers. It has a
// goroutine of its own because it asks brokers for their loads, which must not hold up fencing.
func (n *Node) moveReplicas() { n.whileLeading(n.moveInTerm) }

// moving is the state of draining and balancing in one term.
type moving struct {
	members  []int32 // that replicas are spread over
	unequal  bool    // members changed, and balancing has not come to an end since
	underWay bool    // the last step was not the end
	loads    []controller.BrokerLoad
	loadedAt time.Time
}

func (n *Node) moveInTerm(term uint64) {
	m := &moving{members: spreadOver(n.Image()), unequal: someHoldNothing(n.Image()), underWay: true}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due <-chan time.Time = timer.C
	for {
		_, changed := n.quorum.Leader()
		if now, leads := n.leadsIn(); !leads || now != term {
			return
		}
		select {
		case <-due:
			n.move.take()
			if due = nil; !n.moveStep(m) {
				due = timer.C
				timer.Reset(movesRetry)
			}
		case <-n.move.token:
			if due == nil && m.concerns(n.move.take()) {
				due = timer.C
				timer.Reset(movesPause)
			}
		case <-changed:
		case <-n.stop:
			return
		}
	}
}

// concerns reports whether there may be a step to take after the news.
func (m *moving) concerns(n news) bool { return n.brokers || n.settings || n.topics && m.underWay }

// moveStep takes one step, and reports whether it was taken or there was none.
func (n *Node) moveStep(m *moving) bool {
	img := n.Image()
	if now := spreadOver(img); !slices.Equal(now, m.members) {
		m.members, m.unequal = now, true
	}
	drained := len(controller.Drained(img)) > 0
	if !m.unequal && !drained && !m.underWay && !holdsForeign(img) {
		return true
	}
	if m.unequal || drained {
		n.load(m)
		img = n.Image() // brokers may have taken a while to answer
	}
	plan := n.controller.PlanMoves(img, m.loads, m.unequal)
	stale, err := n.changeAsPlanned(plan.Commands)
	if err != nil {
		n.logFailure("move replicas", err)
		return false
	}
	m.underWay = plan.UnderWay > 0 || plan.Waiting || drained || stale
	if plan.Started == 0 && !plan.Waiting && plan.UnderWay == 0 && allActive(img, m.members) {
		m.unequal = false
	}
	if len(plan.Commands) > 0 {
		n.cfg.Logger.Info("moves replicas", "started", plan.Started, "cancelled", plan.Cancelled, "leaders", plan.Led,
			"under.way", plan.UnderWay, "stuck", plan.Stuck, "waiting", plan.Waiting)
	}
	return true
}

// load asks for the brokers' loads when those known are old.
func (n *Node) load(m *moving) {
	if n.cfg.Loads == nil || !m.loadedAt.IsZero() && time.Since(m.loadedAt) < loadsAge {
		return
	}
	ctx, cancel := context.WithTimeout(n.life, loadsTimeout)
	defer cancel()
	loads, err := n.cfg.Loads(ctx)
	if err != nil {
		n.cfg.Logger.Warn("not every broker told its load", "error", err)
	}
	m.loads, m.loadedAt = loads, time.Now()
}

// spreadOver returns the brokers that replicas are to be spread over: all that are registered and not drained. A broker that
// is fenced is one: it may be restarting.
func spreadOver(img *image.Image) []int32 {
	drained := controller.Drained(img)
	var members []int32
	for b := range img.Brokers() {
		if !drained[b.ID] {
			members = append(members, b.ID)
		}
	}
	return members
}

func allActive(img *image.Image, ids []int32) bool {
	return !slices.ContainsFunc(ids, func(id int32) bool { return !img.Broker(id).Active() })
}

// someHoldNothing reports whether a member has no replica though there are enough for all, or balancing was under way: a
// controller before this one had not come to the end.
func someHoldNothing(img *image.Image) bool {
	members := spreadOver(img)
	held, replicas := map[int32]bool{}, 0
	for t := range img.AllTopics() {
		for _, p := range t.Partitions() {
			if p.Mover == image.ByBalance {
				return true
			}
			replicas += len(p.Replicas)
			for _, id := range p.Replicas {
				held[id] = true
			}
		}
	}
	maps.DeleteFunc(held, func(id int32, _ bool) bool { return !slices.Contains(members, id) })
	return len(held) < len(members) && replicas >= 2*len(members)
}

// holdsForeign reports whether a broker that is not registered is a replica of something.
func holdsForeign(img *image.Image) bool {
	registered := map[int32]bool{}
	for b := range img.Brokers() {
		registered[b.ID] = true
	}
	for t := range img.AllTopics() {
		for _, p := range t.Partitions() {
			if slices.ContainsFunc(p.Replicas, func(id int32) bool { return !registered[id] }) {
				return true
			}
		}
	}
	return false
}
