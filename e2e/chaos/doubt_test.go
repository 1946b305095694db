//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// direct asks one node and nobody else.
type direct struct {
	t  *testing.T
	to *kgo.Broker
}

func (s *scene) direct(node *harness.Node) direct {
	cl := newClient(s.t, node.Address())
	s.t.Cleanup(cl.Close)
	return direct{s.t, cl.SeedBrokers()[0]}
}

// request sends a request, which must be answered.
func request[R kmsg.Response](d direct, r kmsg.Request) R {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := d.to.Request(ctx, r)
	if err != nil {
		d.t.Fatalf("ask with a %T: %v", r, err)
	}
	return answer.(R)
}

func listOffsets(number int32, timestamp int64, epoch int32) *kmsg.ListOffsetsRequest {
	partition := kmsg.NewListOffsetsRequestTopicPartition()
	partition.Partition, partition.Timestamp, partition.CurrentLeaderEpoch = number, timestamp, epoch
	r := kmsg.NewPtrListOffsetsRequest()
	r.ReplicaID, r.Topics = -1, []kmsg.ListOffsetsRequestTopic{{Topic: "chaos", Partitions: []kmsg.ListOffsetsRequestTopicPartition{partition}}}
	return r
}

func (d direct) listOffset(number int32, timestamp int64, epoch int32) error {
	d.t.Helper()
	return kerr.ErrorForCode(request[*kmsg.ListOffsetsResponse](d, listOffsets(number, timestamp, epoch)).Topics[0].Partitions[0].ErrorCode)
}

// endAt asks one node, by a new connection, where partition 0 ends. An error that is no *kerr.Error says that it did not answer.
func endAt(node *harness.Node) (int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(node.Address()), kgo.DialTimeout(200*time.Millisecond))
	if err != nil {
		return -1, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	answer, err := cl.SeedBrokers()[0].Request(ctx, listOffsets(0, -1, -1))
	if err != nil {
		return -1, err
	}
	p := answer.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	return p.Offset, kerr.ErrorForCode(p.ErrorCode)
}

// fetch reads partition 0 as a client without epochs, and returns how many bytes of records it was given.
func (d direct) fetch(id [16]byte, offset int64) (int, error) {
	d.t.Helper()
	partition := kmsg.NewFetchRequestTopicPartition()
	partition.FetchOffset, partition.PartitionMaxBytes = offset, 1<<20
	r := kmsg.NewPtrFetchRequest()
	r.MaxBytes, r.Topics = 1<<20, []kmsg.FetchRequestTopic{{Topic: "chaos", TopicID: id, Partitions: []kmsg.FetchRequestTopicPartition{partition}}}
	p := request[*kmsg.FetchResponse](d, r).Topics[0].Partitions[0]
	return len(p.RecordBatches), kerr.ErrorForCode(p.ErrorCode)
}

func (d direct) committed(group string) error {
	d.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = group
	r.Groups = []kmsg.OffsetFetchRequestGroup{asked}
	return kerr.ErrorForCode(request[*kmsg.OffsetFetchResponse](d, r).Groups[0].ErrorCode)
}

// coordinatedBy returns a group, with an offset committed, whose coordinator is a node.
func (s *scene) coordinatedBy(node *harness.Node) (group string) {
	s.t.Helper()
	admin, done := s.admin()
	defer done()
	harness.Await(s.t, fmt.Sprintf("a group that node %d coordinates", node.ID()), 30*time.Second, func(ctx context.Context) error {
		for i := range 100 {
			group = fmt.Sprintf("doubt-%d", i)
			coordinators := admin.FindGroupCoordinators(ctx, group)
			if err := coordinators.Error(); err != nil {
				return err
			}
			if coordinators[group].NodeID == int32(node.ID()) {
				var offsets kadm.Offsets
				offsets.AddOffset("chaos", 0, 1, -1)
				return admin.CommitAllOffsets(ctx, group, offsets)
			}
		}
		return fmt.Errorf("it coordinates none of 100")
	})
	return group
}

// A leader that is cut off from all others, but not from clients, does not know that it has a successor. It may not tell what
// was true before as if it were so: not to who asks where the log ends, which would go back for them; not that a reader is
// out of range, who would begin anew; not what a group had committed, which would be read twice. Records it may give: they
// are committed.
func TestRegressionFormerLeaderTellsNothingOld(t *testing.T) {
	s := newScene(t, sceneConfig{hosts: true})
	victim := s.leader(0)
	group := s.coordinatedBy(victim)
	partitions, err := s.partitions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin, done := s.admin()
	topics, err := admin.ListTopics(t.Context(), "chaos")
	done()
	if err != nil {
		t.Fatal(err)
	}
	s.network.Split([]int{victim.ID()}, s.idsOf(s.others(victim)))
	s.awaitLedByOthers(victim)
	s.flow.mustProgress("beside the node that is cut off", progressDuring, nil)

	d, epoch, id := s.direct(victim), partitions[0].LeaderEpoch, topics["chaos"].ID
	for name, timestamp := range map[string]int64{"end": -1, "start": -2, "offset for a time": 1} {
		if err := d.listOffset(0, timestamp, -1); err != kerr.NotLeaderForPartition {
			t.Errorf("the %s, asked without an epoch: %v", name, err)
		}
	}
	if err := d.listOffset(0, -1, epoch); err != nil {
		t.Errorf("the end, asked by who knows the epoch of this leader: %v", err)
	}
	if bytes, err := d.fetch(id, 0); err != nil || bytes == 0 {
		t.Errorf("committed records: %d bytes, %v", bytes, err)
	}
	if _, err := d.fetch(id, 1<<40); err != kerr.NotLeaderForPartition {
		t.Errorf("records beyond the end: %v", err)
	}
	if err := d.committed(group); err != kerr.NotCoordinator {
		t.Errorf("committed offsets: %v", err)
	}

	s.network.Heal()
	s.flow.mustProgress("with all together", progressAfter, nil)
	harness.Await(t, "its offsets can be had", 30*time.Second, func(ctx context.Context) error {
		admin, done := s.admin()
		defer done()
		offsets, err := admin.FetchOffsets(ctx, group)
		if err == nil && len(offsets) == 0 {
			return fmt.Errorf("there are none")
		}
		return err
	})
	s.end()
}

// A leader that comes back, from a pause or from behind a broken network, has heartbeats answered before it hears of what was
// decided meanwhile, and reads requests of followers that were sent before they followed another: neither may make it think
// that it knows where the partition ends. Found by TestClusterTransactions.
func TestRegressionReturningLeaderTellsNothingOld(t *testing.T) {
	s := newScene(t, sceneConfig{hosts: true, flow: flowConfig{transactional: 4}})
	for _, how := range []struct {
		name  string
		leave func(victim *harness.Node) (back func())
	}{
		{"cut off from everybody", func(victim *harness.Node) func() {
			s.network.Split([]int{victim.ID()}, append(s.idsOf(s.others(victim)), 0))
			return s.network.Heal
		}},
		{"cut off from the others", func(victim *harness.Node) func() {
			s.network.Split([]int{victim.ID()}, s.idsOf(s.others(victim)))
			return s.network.Heal
		}},
		{"paused", func(victim *harness.Node) func() { victim.Pause(); return victim.Resume }},
	} {
		s.awaitInSync(30 * time.Second)
		victim := s.leader(0)
		back := how.leave(victim)
		s.awaitLedByOthers(victim)
		s.flow.mustProgress("beside a node that is "+how.name, progressDuring, nil)
		s.mustTellNothingOld(victim, how.name, back)
	}
	s.end()
}

// mustTellNothingOld brings a former leader back and asks it again and again where partition 0 ends, until it has told of
// another leader for a while.
func (s *scene) mustTellNothingOld(victim *harness.Node, how string, back func()) {
	s.t.Helper()
	known := int64(-1)
	harness.Await(s.t, "the end of partition 0", 30*time.Second, func(context.Context) (err error) {
		known, err = endAt(s.leader(0))
		return err
	})
	back()
	answers, refusals := 0, 0
	for end := time.Now().Add(30 * time.Second); refusals < 300 && time.Now().Before(end); {
		offset, err := endAt(victim)
		switch {
		case err == nil && offset < known:
			s.t.Fatalf("a node that was %s, and leads no more, says that the partition ends at %d, after %d was told elsewhere", how, offset, known)
		case err == nil:
			answers++ // it leads again
		case err == kerr.NotLeaderForPartition:
			refusals++
		}
		if answers > 300 {
			return
		}
	}
	if answers+refusals == 0 {
		s.t.Fatalf("a node that was %s never answered", how)
	}
}

func (s *scene) idsOf(nodes []*harness.Node) (ids []int) {
	for _, n := range nodes {
		ids = append(ids, n.ID())
	}
	return ids
}
