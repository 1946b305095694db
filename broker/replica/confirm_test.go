package replica

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// inquiries are what a node asks others of its leaderships.
type inquiries struct {
	mu    sync.Mutex
	held  chan struct{} // guarded by mu: requests wait until it is closed; nil: none does
	sizes []int         // guarded by mu: partitions of each request
}

func (i *inquiries) hold() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	held := make(chan struct{})
	i.held, i.sizes = held, nil
	return sync.OnceFunc(func() { close(held) })
}

func (i *inquiries) asked() []int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.sizes)
}

// inquire is what package api does with the request.
func (n *meshNode) inquire(ctx context.Context, other int32, asked *kmsg.OffsetForLeaderEpochRequest) (kmsg.Response, error) {
	read := &kmsg.OffsetForLeaderEpochRequest{Version: 4}
	asked.Version = 4
	if err := read.ReadFrom(asked.AppendTo(nil)); err != nil {
		return nil, err
	}
	answer := kmsg.NewPtrOffsetForLeaderEpochResponse()
	n.inquiries.mu.Lock()
	held, size := n.inquiries.held, 0
	for _, t := range read.Topics {
		size += len(t.Partitions)
	}
	n.inquiries.sizes = append(n.inquiries.sizes, size)
	n.inquiries.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	manager, err := n.reaches(other)
	if err != nil {
		return nil, err
	}
	for _, t := range read.Topics {
		id, ok := AskedTopic(&t)
		if !ok {
			return nil, errors.New("no topic id")
		}
		topic := kmsg.NewOffsetForLeaderEpochResponseTopic()
		for _, p := range t.Partitions {
			said := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			said.Partition, said.ErrorCode = p.Partition, manager.FollowsIn(id, p.Partition, p.CurrentLeaderEpoch).Code
			topic.Partitions = append(topic.Partitions, said)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer, nil
}

// lapsedLeader is a mesh whose node 1 leads, does not hear of the controller, and is followed by the others.
func lapsedLeader(t *testing.T) *mesh {
	m := newMesh(t, 3)
	m.create("orders", nil, []int32{1, 2, 3}, []int32{1, 3, 2}, []int32{1, 2, 3})
	m.nodes[1].lapsed.Store(true)
	m.awaitStanding(Unsure, "both followers read")
	m.nodes[1].deaf.Store(true)
	return m
}

// A follower whose fetch waits here counts as one that follows for as long as it may wait, and may have been elected meanwhile.
func TestLeaderRefusesThoughItsSuccessorStillSeemsToFollow(t *testing.T) {
	m := lapsedLeader(t)
	mustAppend(t, m, 1, "a")
	if !m.confirmed() {
		t.Fatal("not confirmed by those who follow")
	}
	m.nodes[2].muffled.Store(true) // so that neither can tell that it has left
	m.nodes[3].muffled.Store(true)
	m.fence(1)
	if got := m.standing(1, "orders"); got != Unsure {
		t.Fatalf("%v: the old leader knows that its followers have left", got)
	}
	if m.confirmed() {
		t.Error("the old leader is confirmed beside its successor")
	}
}

// What a successor does not confirm another follower does: it has not heard of the election.
func TestOneFollowerThatIsBehindDoesNotConfirmForAll(t *testing.T) {
	m := lapsedLeader(t)
	m.nodes[3].deaf.Store(true)
	m.fence(1)
	p := m.on(1, "orders", 0)
	if said := m.nodes[3].running().FollowsIn(p.Topic.ID, 0, p.LeaderEpoch()); said != kerr.NotLeaderForPartition {
		t.Errorf("who has not heard of the election says %v", said)
	}
	if m.confirmed() {
		t.Error("the old leader is confirmed beside its successor")
	}
}

func TestQuestionsShareARequestThatBeginsAfterThem(t *testing.T) {
	m := lapsedLeader(t)
	manager, asked := m.nodes[1].running(), &m.nodes[1].inquiries
	release := asked.hold()
	defer release()
	claim := func(number int32) []Claim {
		p := m.on(1, "orders", number)
		return []Claim{{p, p.LeaderEpoch()}}
	}
	first := manager.confirmer.join(2, claim(0), []int{0})
	m.eventually("the first request is sent", func() bool { return len(asked.asked()) == 1 })
	next := manager.confirmer.join(2, claim(0), []int{0})
	for i := range int32(30) {
		if q := manager.confirmer.join(2, claim(i%3), []int{0}); q == first || q != next {
			t.Fatal("the question goes with a request that was sent before it, or with one of its own")
		}
	}
	release()
	follows := next.await(context.Background())
	for i := range int32(3) {
		if !follows[claim(i)[0].key()] {
			t.Errorf("partition %d is not confirmed", i)
		}
	}
	if got := asked.asked(); !slices.Equal(got, []int{1, 3}) {
		t.Errorf("requests for %v partitions", got)
	}
}

func TestAFollowerThatDoesNotAnswerConfirmsNothing(t *testing.T) {
	m := lapsedLeader(t)
	release := m.nodes[1].inquiries.hold()
	if m.confirmed() {
		t.Error("confirmed without an answer")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p := m.on(1, "orders", 0)
	if p.manager.Confirm(ctx, Claim{p, p.LeaderEpoch()})[0] {
		t.Error("confirmed to who waits no longer")
	}
	release()
	m.eventually("confirmed once answers come", m.confirmed)
}

func TestConfirmAfterCloseConfirmsNothing(t *testing.T) {
	m := lapsedLeader(t)
	p := m.on(1, "orders", 0)
	release := m.nodes[1].inquiries.hold()
	defer release()
	var asking sync.WaitGroup
	asking.Go(func() {
		if p.manager.Confirm(context.Background(), Claim{p, 0})[0] {
			t.Error("confirmed though the manager was closed meanwhile")
		}
	})
	m.eventually("others are asked", func() bool { return len(m.nodes[1].inquiries.asked()) > 0 })
	m.nodes[1].stop()
	asking.Wait()
	if p.manager.Confirm(context.Background(), Claim{p, 0})[0] {
		t.Error("confirmed by a manager that is closed")
	}
}

// Who was started anew may have led before, and has not read so much of its metadata yet.
func TestWhoIsNotRegisteredYetConfirmsNothing(t *testing.T) {
	m := lapsedLeader(t)
	m.nodes[2].stop()
	if !m.confirmed() {
		t.Error("not confirmed beside a process that has ended")
	}
	m.nodes[2].unregistered.Store(true)
	m.nodes[2].run()
	if m.confirmed() {
		t.Error("confirmed by who does not know what it was before")
	}
}

func TestWhoHasNoReplicaConfirmsNothing(t *testing.T) {
	m := lapsedLeader(t)
	m.must(func(img *image.Image) (command.Group, error) {
		_, group := m.controller.DeleteTopics(img, []image.TopicID{img.Topic(security.DefaultTenant, "orders").ID})
		return group, nil
	})
	if m.confirmed() {
		t.Error("confirmed for a topic that was deleted")
	}
	m.create("orders", nil, []int32{2, 3, 1})
	if m.confirmed() {
		t.Error("confirmed for a topic that was made anew")
	}
}
