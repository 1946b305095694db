package broker

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/millrace-io/millrace/broker/gateway"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

func topicImage(t *testing.T, parts ...*image.Partition) *image.Image {
	t.Helper()
	topic := image.NewTopic(image.TopicID{1}, "default", "t", false, nil, parts)
	img, refused := command.Apply(image.Empty(), 1, []command.Group{{command.CreateTopic{Topic: topic}}}, image.NewChanges())
	if refused[0] != nil {
		t.Fatal(refused[0])
	}
	return img
}

func TestRisksOfARestart(t *testing.T) {
	img := topicImage(t,
		&image.Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1},
		&image.Partition{Replicas: []int32{1, 2, 3}, ISR: []int32{1}, Leader: 1},
		&image.Partition{Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2}, Leader: 2},
		&image.Partition{Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}, Leader: 1},
		&image.Partition{Replicas: []int32{1, 2, 3}, ISR: []int32{2, 3}, Leader: 2},
		&image.Partition{Replicas: []int32{2, 3}, ISR: []int32{2}, Leader: 2},
		&image.Partition{Replicas: []int32{1, 2, 3, 4}, ISR: []int32{2, 3, 4}, AddingReplicas: []int32{1}, RemovingReplicas: []int32{4}, Leader: 2},
		&image.Partition{Replicas: []int32{4, 1, 2, 3}, ISR: []int32{1, 2, 3}, AddingReplicas: []int32{4}, RemovingReplicas: []int32{1}, Leader: 1},
	)
	got := restartRisks(img, 1, 10, func(*image.Topic) int { return 2 }, func(_ *image.Topic, number int32) bool { return number == 3 })
	want := gateway.RestartRisks{
		SingleReplica: []string{"t/0"}, Unavailable: []string{"t/1"}, FullAcksRefused: []string{"t/1", "t/2"}, AcksOneLost: []string{"t/3"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := restartRisks(img, 1, 1, func(*image.Topic) int { return 2 }, func(*image.Topic, int32) bool { return false }); len(got.FullAcksRefused) != 1 {
		t.Errorf("more than the limit: %v", got.FullAcksRefused)
	}
	if got := reclaimed(img, 1); got != 83 {
		t.Errorf("%d %% reclaimed, 5 of 6 replicas are in sync, and one more is being copied here", got)
	}
	if count := countPartitions(img, 1); count != (partitionCount{underReplicated: 1, reassigning: 1}) {
		t.Errorf("counted %+v", count)
	}
}

func TestRestartThatEndsTheQuorum(t *testing.T) {
	quorum := metadata.QuorumState{Voters: []metadata.QuorumMember{{NodeID: 1}, {NodeID: 2}, {NodeID: 3}}}
	whole := brokersImage(image.Broker{ID: 1}, image.Broker{ID: 2}, image.Broker{ID: 3}, image.Broker{ID: 4})
	short := brokersImage(image.Broker{ID: 1}, image.Broker{ID: 2}, image.Broker{ID: 3, Fenced: true}, image.Broker{ID: 4})
	for _, tc := range []struct {
		img  *image.Image
		node int32
		want bool
	}{{whole, 1, false}, {short, 1, true}, {short, 3, false}, {short, 4, false}} {
		if got := losesQuorum(tc.img, quorum, tc.node); got != tc.want {
			t.Errorf("node %d: %v, want %v", tc.node, got, tc.want)
		}
	}
}

func TestCleanEpochIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	if epoch, err := takeCleanEpoch(dir); err != nil || epoch != noEpoch {
		t.Errorf("of an empty directory: %d, %v", epoch, err)
	}
	if err := writeCleanEpoch(dir, 42); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{42, noEpoch} {
		if epoch, err := takeCleanEpoch(dir); err != nil || epoch != want {
			t.Errorf("got %d, %v, want %d", epoch, err, want)
		}
	}
}
