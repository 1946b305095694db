package metadata

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

func TestKilledControllerIsReplacedWithoutATimeout(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	last := c.allocate()
	for range 6 {
		old := c.controller()
		c.same()
		began := time.Now()
		old.crash()
		heir := c.controller()
		t.Logf("node %d leads %v after node %d was killed, term %d", heir.id, time.Since(began).Round(time.Millisecond), old.id, heir.node.Quorum().LeaderEpoch)
		first := c.allocate()
		if first <= last {
			t.Errorf("the ids from %d were handed out after those from %d", first, last)
		}
		last = first
		old.start()
		c.same()
	}
}

func TestCleanStopHandsLeadershipOver(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	last := c.allocate()
	for range 4 {
		old := c.controller()
		c.same()
		began := time.Now()
		old.stop()
		heir := c.controller()
		t.Logf("node %d leads %v after node %d was asked to stop", heir.id, time.Since(began).Round(time.Millisecond), old.id)
		if first := c.allocate(); first <= last {
			t.Errorf("the ids from %d were handed out after those from %d", first, last)
		} else {
			last = first
		}
		old.start()
		c.same()
	}
}

func TestWipedVoterComesBackAsALearnerAndGetsItsVote(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	lost := c.controller()
	before := lost.node.DirectoryID()
	lost.crash()
	c.controller()
	c.allocate()
	lost.wipe()
	lost.start()
	if lost.node.DirectoryID() == before {
		t.Error("another disk is the same member")
	}
	c.eventually("the new member among three voters", func() bool {
		q := c.controller().node.Quorum()
		for _, v := range q.Voters {
			if v.DirectoryID == before {
				return false
			}
			if lost.node.IsController() {
				t.Fatal("a wiped node leads before it has a vote")
			}
		}
		return len(q.Voters) == 3 && len(q.Observers) == 0
	})
	c.allocate()
	c.same()
}

func TestNodeJoinsByAddressVotesAndLeaves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	late := c.add(4, c.members[2].address, c.members[3].address).start()
	c.eventually("an observer", func() bool { return len(c.controller().node.Quorum().Observers) == 1 })
	c.same()
	leader := c.controller().node
	if err := leader.AddVoter(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if q := leader.Quorum(); len(q.Voters) != 4 || len(q.Observers) != 0 {
		t.Errorf("quorum is %+v", q)
	}
	c.eventually("positions of all voters", func() bool {
		for _, v := range leader.Quorum().Voters {
			if v.LogEndOffset != leader.Quorum().HighWatermark || v.LastFetchTimestampMillis <= 0 || v.LastCaughtUpTimestampMillis <= 0 {
				return false
			}
		}
		return true
	})
	if err := leader.RemoveVoter(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if q := leader.Quorum(); len(q.Voters) != 3 || len(q.Observers) != 1 {
		t.Errorf("quorum is %+v", q)
	}
	late.stop()
	if err := leader.ForgetMember(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if q := leader.Quorum(); len(q.Voters) != 3 || len(q.Observers) != 0 {
		t.Errorf("quorum is %+v", q)
	}
	late.start() // it has its log and is none of them any more: it asks to be admitted
	c.eventually("an observer again", func() bool { return len(c.controller().node.Quorum().Observers) == 1 })
	if err := c.controller().node.AddVoter(t.Context(), 9); !errors.Is(err, kerr.VoterNotFound) {
		t.Errorf("a node that is no member: %v", err)
	}
	follower := c.members[c.controller().id%3+1].node
	if err := follower.RemoveVoter(t.Context(), 1); !errors.Is(err, kerr.NotController) {
		t.Errorf("elsewhere than on the controller: %v", err)
	}
}

func TestMinorityLeaderAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	last := c.allocate()
	for range 3 {
		old := c.controller()
		c.same()
		old.cut.isolate(true)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if first, err := allocate(ctx, old.node); err == nil {
			t.Errorf("a leader without a majority handed out the ids from %d", first)
		}
		cancel()
		c.eventually("a controller among the others", func() bool {
			for _, m := range c.members {
				if m != old && m.node.IsController() {
					return true
				}
			}
			return false
		})
		first := c.allocate()
		if first <= last {
			t.Errorf("the ids from %d were handed out after those from %d", first, last)
		}
		last = first
		old.cut.isolate(false)
		c.same()
	}
}

// The regression of Redpanda v26.1.14: a follower that comes back with a higher term, or that keeps asking for pre-votes,
// must not keep the others from committing.
func TestFollowerThatComesBackDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	for range 3 {
		leader := c.controller()
		follower := c.members[leader.id%3+1]
		follower.cut.isolate(true)
		for range 3 {
			follower.node.quorum.Stand() // raises its term; nobody hears of it
			time.Sleep(50 * time.Millisecond)
		}
		for range 20 {
			c.allocate()
		}
		follower.cut.isolate(false)
		for range 20 {
			c.allocate()
		}
		c.same()
	}
}

func TestLossOfTheQuorumLeavesReading(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	c.same()
	c.members[2].crash()
	c.members[3].crash()
	left := c.members[1].node
	if left.Image().NextProducerID() != 1000 || left.Image().Broker(1) == nil {
		t.Errorf("the image is gone: %d", left.Image().NextProducerID())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err := allocate(ctx, left)
	var code *kerr.Error
	if !errors.As(err, &code) || !code.Retriable {
		t.Errorf("a change without a quorum: %v, want a retriable refusal", err)
	}
	c.startAll(2, 3)
	c.allocate()
	c.same()
}

func TestWholeClusterRestarts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	last := c.allocate()
	for _, crash := range []bool{true, false} {
		c.same()
		for _, m := range c.members {
			if crash {
				m.crash()
			} else {
				m.stop()
			}
		}
		began := time.Now()
		c.startAll(3, 1, 2)
		c.controller()
		t.Logf("a controller %v after all were started", time.Since(began).Round(time.Millisecond))
		if first := c.allocate(); first <= last {
			t.Errorf("the ids from %d were handed out after those from %d", first, last)
		} else {
			last = first
		}
	}
}

func TestFollowerThatFellBehindInstallsASnapshot(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.limits = raft.Limits{SnapshotEntries: 10, TrailingEntries: 5, SnapshotInterval: 20 * time.Millisecond}
	c.startAll(1, 2, 3)
	c.allocate()
	away := c.members[c.controller().id%3+1]
	away.stop()
	for range 60 {
		c.allocate()
	}
	time.Sleep(100 * time.Millisecond) // in which the leader truncates its log
	away.start()
	c.same()
	if got, want := away.node.Image().NextProducerID(), c.controller().node.Image().NextProducerID(); got != want {
		t.Errorf("after the snapshot the next producer id is %d, want %d", got, want)
	}
	c.allocate()
	c.same()
	away.crash() // and what it installed is durable
	away.start()
	c.same()
}

func TestSecondNodeWithAnIDThatIsTakenIsNotAdmitted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	twin := &member{c: c, id: 3, address: c.add(9).address, join: []string{c.members[1].address, c.members[2].address}}
	twin.c = &cluster{t: c.t, root: t.TempDir(), logger: c.logger}
	refused := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return twin.open(ctx)
	}
	patience := 2 * time.Second
	err := refused(patience)
	for errors.Is(err, context.DeadlineExceeded) && !strings.Contains(err.Error(), "another member with this node id is there") && patience < 30*time.Second {
		patience *= 2 // on a busy machine the members have not found each other by then
		err = refused(patience)
	}
	if err == nil || !strings.Contains(err.Error(), "another member with this node id is there") {
		t.Errorf("a second node 3: %v", err)
	}
	if q := c.controller().node.Quorum(); len(q.Voters) != 3 || len(q.Observers) != 0 {
		t.Errorf("quorum is %+v", q)
	}
	c.allocate()
}

func TestNodeOfAnotherClusterIsNotAdmitted(t *testing.T) {
	t.Parallel()
	c, other := newCluster(t, 1), newCluster(t, 1)
	c.startAll(1)
	other.startAll(1)
	other.members[1].stop()
	stranger := c.add(2, c.members[1].address)
	stranger.c = &cluster{t: t, root: other.root, logger: c.logger}
	stranger.id = 1 // with the disk of node 1 of the other cluster
	stranger.join = []string{c.members[1].address}
	c.members[1].stop() // else the stranger is refused at its start
	if err := stranger.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer stranger.stop()
	c.members[1].start()
	c.allocate()
	if id := stranger.node.ClusterID(); id == c.members[1].node.ClusterID() {
		t.Error("it took the id of the other cluster")
	}
	if q := c.members[1].node.Quorum(); len(q.Voters)+len(q.Observers) != 1 {
		t.Errorf("quorum is %+v", q)
	}
}

func TestOpenWithoutCompanyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := c.members[1].open(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "initial voters have not answered: 2@") {
		t.Errorf("got %v", err)
	}
	c.startAll(1, 2, 3) // the directory that it left is no hindrance
	c.allocate()
}

func TestNodeThatWasAloneDoesNotOpenAClustersDirectory(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	c.members[2].stop()
	cfg := testConfig(c.members[2].directory())
	cfg.NodeID = 2
	n, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if err := n.Start(); err == nil || !strings.Contains(err.Error(), "cluster.address is missing") {
		t.Errorf("got %v", err)
	}
}

func TestNodeThatWasAloneGetsCompany(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 1)
	alone := start(t, testConfig(c.members[1].directory()))
	create(t, alone, newTopic("a", 1))
	clusterID := alone.ClusterID()
	if err := alone.Close(); err != nil {
		t.Fatal(err)
	}
	c.startAll(1)
	c.add(2, c.members[1].address).start()
	c.eventually("an observer", func() bool { return len(c.controller().node.Quorum().Observers) == 1 })
	c.same()
	if n := c.members[2].node; n.ClusterID() != clusterID || n.Image().TopicCount() != 1 {
		t.Errorf("the second node has cluster %s, %d topics", n.ClusterID(), n.Image().TopicCount())
	}
	c.eventually("the first node's address", func() bool {
		_, address, ok := c.members[2].node.LeaderAddress()
		return ok && address == c.members[1].address
	})
}

// A node that is about to stop, and is forgotten before it has, does not come back; one that goes on does, each time.
func TestNodeThatDepartsIsForgottenForGood(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	observers := func(want ...int32) func() bool {
		return func() bool {
			var ids []int32
			for _, o := range c.controller().node.Quorum().Observers {
				ids = append(ids, o.NodeID)
			}
			slices.Sort(ids)
			return slices.Equal(ids, want)
		}
	}
	for id := int32(4); id <= 5; id++ {
		c.add(id, c.members[1].address, c.members[2].address).start()
	}
	c.eventually("two observers", observers(4, 5))
	c.members[4].node.Depart()
	c.eventually("node 4 forgotten", func() bool { return c.controller().node.ForgetMember(t.Context(), 4) == nil })
	for range 3 {
		c.eventually("node 5 forgotten", func() bool { return c.controller().node.ForgetMember(t.Context(), 5) == nil })
		c.eventually("node 5 alone again", observers(5))
	}
}

// A broker that was unregistered and stopped leaves nothing behind: its member vanishes from the quorum whether or not
// somebody had it forgotten, and one that is registered is waited for.
func TestMemberThatIsGoneAndNotRegisteredIsForgotten(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.limits.ForgetAfter = 500 * time.Millisecond
	c.startAll(1, 2, 3)
	c.allocate()
	for id := int32(4); id <= 5; id++ {
		c.add(id, c.members[1].address, c.members[2].address).start()
	}
	c.eventually("two observers", func() bool { return len(c.controller().node.Quorum().Observers) == 2 })
	c.eventually("a registration of node 5", func() bool {
		_, err := c.controller().node.RegisterBroker(t.Context(), image.Broker{ID: 5, Incarnation: [16]byte{5}})
		return err == nil
	})
	c.members[4].stop()
	c.members[5].stop()
	c.eventually("only node 5 among the observers", func() bool {
		q := c.controller().node.Quorum()
		return len(q.Voters) == 3 && len(q.Observers) == 1 && q.Observers[0].NodeID == 5
	})
	c.eventually("an unregistered node 5", func() bool { return c.controller().node.UnregisterBroker(t.Context(), 5) == nil })
	c.eventually("no observer", func() bool { return len(c.controller().node.Quorum().Observers) == 0 })
	c.members[4].start()
	c.eventually("node 4 again", func() bool {
		q := c.controller().node.Quorum()
		return len(q.Observers) == 1 && q.Observers[0].NodeID == 4
	})
	c.same()
}
