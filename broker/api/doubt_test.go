package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
)

// broken is the way to other brokers, on which everything is lost once it is cut: requests, and the ends of connections.
type broken struct {
	replica.Leaders
	cut *atomic.Bool
}

func (b broken) Do(ctx context.Context, nodeID int32, req kmsg.Request) (kmsg.Response, error) {
	if b.cut.Load() && kmsg.Key(req.Key()) == kmsg.Fetch { // what node 1 asks the others arrives
		return nil, errors.New("no answer came")
	}
	return b.Leaders.Do(ctx, nodeID, req)
}

func (b broken) Dial(ctx context.Context, nodeID int32) (replica.Leader, error) {
	conn, err := b.Leaders.Dial(ctx, nodeID)
	if err != nil {
		return nil, err
	}
	return &brokenConn{Leader: conn, cut: b.cut, closed: make(chan struct{})}, nil
}

type brokenConn struct {
	replica.Leader
	cut    *atomic.Bool
	closed chan struct{}
	once   sync.Once
}

func (c *brokenConn) DoInto(req kmsg.Request, resp kmsg.Response, buf []byte, patience time.Duration) ([]byte, error) {
	if c.cut.Load() {
		<-c.closed
		return buf, errors.New("no answer came")
	}
	return c.Leader.DoInto(req, resp, buf, patience)
}

func (c *brokenConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	if c.cut.Load() {
		return nil
	}
	return c.Leader.Close()
}

// What a leader that has lost its controller tells those who name no epoch is told as long as the others say that they follow.
// A follower that has been elected says something else, though its fetch still waits at the leader of before.
func TestALeaderWithoutItsControllerAsksWhetherItIsFollowed(t *testing.T) {
	var lapsed, cut atomic.Bool
	c := startTrio(t, func(r *replica.Cluster) {
		r.Leaders, r.FetchWait, r.SessionHeld = broken{r.Leaders, &cut}, time.Minute, func() bool { return !lapsed.Load() }
	})
	id := c.topic("rides", 2, nil)
	client := c.nodes[1].dial()
	client.produce("rides", 0, "x")
	client.produce("rides", 1, "x")
	p := c.partition(1, "rides")
	epoch := p.LeaderEpoch()
	lapsed.Store(true)
	c.eventually("both follow", func() bool { return p.Standing(epoch) == replica.Unsure })

	ask := func(known int32) (codes []int16) {
		list := listOf(7, 0, -1)
		list.ReplicaID, list.Topics[0].Topic = -1, "rides"
		second := list.Topics[0].Partitions[0]
		second.Partition = 1
		list.Topics[0].Partitions = append(list.Topics[0].Partitions, second)
		for i := range list.Topics[0].Partitions {
			list.Topics[0].Partitions[i].CurrentLeaderEpoch = known
		}
		for _, listed := range client.request(list).(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			if (listed.ErrorCode == 0) != (listed.Offset == 1) {
				t.Errorf("partition %d: offset %d with error %d", listed.Partition, listed.Offset, listed.ErrorCode)
			}
			codes = append(codes, listed.ErrorCode)
		}
		return append(codes, client.request(fetchOf(13, "", id, map[int32]int64{0: 99})).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode)
	}
	mustBe := func(when string, got []int16, want ...*kerr.Error) {
		t.Helper()
		for i, w := range want {
			if code := codeOrZero(w); got[i] != code {
				t.Errorf("%s: %d, want %d (of ends 0 and 1, and a fetch beyond the end)", when, got[i], code)
			}
		}
	}
	mustBe("followed", ask(-1), nil, nil, kerr.OffsetOutOfRange)
	cut.Store(true)
	defer cut.Store(false) // so that closing a connection ends what waits on it
	c.deaf = 1
	c.edit(func(e *image.Edit) error {
		return e.ChangePartitions(id, map[int32]*image.Partition{0: {Replicas: []int32{1, 2, 3}, ISR: []int32{2, 3}, Leader: 2, LeaderEpoch: epoch + 1, PartitionEpoch: 1}})
	})
	if got := p.Standing(epoch); got != replica.Unsure {
		t.Fatalf("%v: the leader of before knows that it is not followed", got)
	}
	mustBe("succeeded in partition 0", ask(-1), kerr.NotLeaderForPartition, nil, kerr.NotLeaderForPartition)
	mustBe("asked by who knows the epoch", ask(epoch), nil, nil)
}

func codeOrZero(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}

// A client cannot ask what brokers ask each other.
func TestOnlyBrokersAskWhoFollows(t *testing.T) {
	c := startTrio(t)
	id := c.topic("orders", 1, nil)
	r := epochOf(3, -1)
	r.Version = 4
	r.Topics[0].UnknownTags.Set(replica.TopicIDTag, id[:])
	if got := c.nodes[2].dial().request(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode; got != kerr.NotLeaderForPartition.Code {
		t.Errorf("a client that names the topic, too, is answered %d", got)
	}
	r.Topics[0].Topic = ""
	if got := c.nodes[2].dial().request(r).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode; got != kerr.UnknownTopicOrPartition.Code {
		t.Errorf("a client that names the topic by its id alone is answered %d", got)
	}
}
