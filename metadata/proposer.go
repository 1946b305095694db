package metadata

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

// maxGroupsPerEntry bounds how many requests share one entry of the log.
const maxGroupsPerEntry = 256

// errClosed says that the node was closed while a request waited.
var errClosed = errors.New("the metadata node is closed")

// plan turns the image of the moment into the commands of one request. It may be called on an image that includes
// requests that are still on their way. No commands: there is nothing to do.
type plan func(*image.Image) command.Group

// proposal is one request on its way into the log.
type proposal struct {
	plan  plan
	taken atomic.Bool  // by the proposer, to plan it, or by a caller that gave up before that
	done  chan outcome // buffered
}

// outcome is what became of a proposal: at index of the log, or not because of err.
type outcome struct {
	index uint64
	err   error
}

// proposer puts requests into the log, one entry at a time: while one is on its way the requests that come gather and
// share the next. It is the only one to propose, so what it plans from is what it will be applied to.
type proposer struct {
	quorum  *raft.Quorum
	machine *machine
	metrics *metrics
	clock   func() time.Time
	queue   chan *proposal
}

// run proposes until stop is closed.
func (p *proposer) run(stop <-chan struct{}) {
	for {
		select {
		case first := <-p.queue:
			p.propose(p.gather(first))
		case <-stop:
			p.refuseRest()
			return
		}
	}
}

func (p *proposer) gather(first *proposal) []*proposal {
	batch := []*proposal{first}
	for len(batch) < maxGroupsPerEntry {
		select {
		case next := <-p.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (p *proposer) refuseRest() {
	for {
		select {
		case left := <-p.queue:
			left.done <- outcome{err: errClosed}
		default:
			return
		}
	}
}

func (p *proposer) propose(batch []*proposal) {
	if !p.quorum.Leads() {
		p.finish(batch, outcome{err: errors.Join(p.quorum.Err(), raft.ErrNotLeader)})
		return
	}
	e := p.planAll(batch)
	if len(e.groups) == 0 {
		return
	}
	start := p.clock()
	index, answer, err := p.quorum.Propose(command.Encode(e.groups))
	p.metrics.commitSeconds.Observe(p.clock().Sub(start).Seconds())
	if err != nil {
		p.finish(e.proposed, outcome{err: err})
		for _, j := range e.judged {
			j.done <- outcome{err: err}
		}
		return
	}
	refusals, _ := answer.([]error)
	e.answer(index, refusals)
}

// entry is what shares one entry of the log.
type entry struct {
	groups   []command.Group
	proposed []*proposal // of each group
	judged   []judged
}

// judged is a request that changes nothing on the image that earlier requests of the same entry will leave. Its answer
// is true only once they are in the log: what is refused because of a topic that then is not created was no refusal.
type judged struct {
	*proposal
	groups int // of the entry that it was judged by
}

// answer tells everybody what became of the entry at index. Without refusals every group was applied.
func (e *entry) answer(index uint64, refusals []error) {
	for i, one := range e.proposed {
		result := outcome{index: index}
		if i < len(refusals) {
			result.err = refusals[i]
		}
		one.done <- result
	}
	for _, j := range e.judged {
		j.done <- outcome{index: index, err: errors.Join(refusals[:min(j.groups, len(refusals))]...)}
	}
}

// planAll plans each request on the image that those before it will leave, and answers those that change nothing of what
// is in the log already.
func (p *proposer) planAll(batch []*proposal) (e entry) {
	img := p.machine.newest.Load()
	ahead, seen := img, 0 // the image after the first seen groups; applied only when another request needs it
	for _, one := range batch {
		if one.taken.Swap(true) {
			continue // nobody waits for it
		}
		if seen < len(e.groups) {
			ahead, _ = command.Apply(ahead, img.Index()+1, e.groups[seen:], image.NewChanges())
			seen = len(e.groups)
		}
		group := one.plan(ahead)
		switch {
		case len(group) > 0:
			e.groups, e.proposed = append(e.groups, group), append(e.proposed, one)
		case seen > 0:
			e.judged = append(e.judged, judged{proposal: one, groups: seen})
		default:
			one.done <- outcome{index: img.Index()}
		}
	}
	return e
}

func (p *proposer) finish(batch []*proposal, result outcome) {
	for _, one := range batch {
		one.done <- result
	}
}

// change carries one request through: plan, log, subscribers. The error is a *controller.Refusal.
func (n *Node) change(ctx context.Context, plan plan) (index uint64, err error) {
	one := &proposal{plan: plan, done: make(chan outcome, 1)}
	select {
	case n.proposer.queue <- one:
	case <-ctx.Done():
		return 0, refusal(raft.ErrNotLeader) // nothing was proposed
	case <-n.stop:
		return 0, refusal(errClosed)
	}
	var result outcome
	select {
	case result = <-one.done:
	case <-ctx.Done():
		if !one.taken.Swap(true) {
			return 0, refusal(raft.ErrNotLeader) // and will not be
		}
		return 0, refusal(raft.ErrOutcomeUnknown)
	case <-n.joined:
		return 0, refusal(errClosed)
	}
	if result.err != nil {
		return 0, refusal(result.err)
	}
	if err := n.publisher.await(ctx, result.index, n.stop); err != nil {
		return 0, refusal(raft.ErrOutcomeUnknown)
	}
	return result.index, nil
}

// refusal says in the protocol's terms why a request did not go through. All of them tell the client to try again:
// whatever happened is over when it does, or another node leads.
func refusal(err error) *controller.Refusal {
	switch {
	case errors.Is(err, raft.ErrOutcomeUnknown):
		return &controller.Refusal{Err: kerr.RequestTimedOut, Message: "The change was not confirmed in time; it may still take effect."}
	case errors.Is(err, raft.ErrNoSpace):
		return &controller.Refusal{Err: kerr.KafkaStorageError, Message: "The disk that holds the metadata log is full."}
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, errClosed):
		return &controller.Refusal{Err: kerr.NotController, Message: "This node does not lead the metadata quorum."}
	case errors.Is(err, image.ErrNotApplicable):
		return &controller.Refusal{Err: kerr.NotController, Message: "The metadata changed while the request was under way: " + err.Error()}
	}
	return &controller.Refusal{Err: kerr.KafkaStorageError, Message: "The metadata log has failed: " + err.Error()}
}
