package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// clientsOfTheEnding makes the end of a process take some milliseconds, as its connections are closed one by one.
const clientsOfTheEnding = 300

// The first client that sees the end of a killed broker asks the others who leads. They have had less time to see it, and
// tell of new leaders. A machine that is so busy that an election takes longer than such an answer waits is forgiven twice.
func TestFirstToSeeTheEndOfABrokerIsToldOfNewLeaders(t *testing.T) {
	c := harness.StartCluster(t, harness.ClusterConfig{})
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Addresses()...), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 6, 3, nil, "rides"); err != nil {
		t.Fatal(err)
	}
	for tries := 1; ; tries++ {
		awaitInSync(t, cl, 3)
		for _, n := range c.Nodes() {
			awaitLifelines(t, n, len(c.Nodes())-1)
		}
		told := killAndAsk(t, c, tries)
		if told == nil {
			return
		}
		if tries == len(c.Nodes()) {
			t.Fatal(told)
		}
		t.Log(told)
		c.Node(tries).Restart()
	}
}

// awaitLifelines waits until a node has accepted that many: every other's.
func awaitLifelines(t *testing.T, n *harness.Node, count int) {
	t.Helper()
	harness.Await(t, "lifelines", time.Minute, func(context.Context) error {
		_, metrics, err := n.Get("/metrics")
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(metrics, `millrace_peer_connections_accepted_total{purpose="lifeline"} `)
		said, _, _ := strings.Cut(rest, "\n")
		if accepted, err := strconv.Atoi(said); err != nil || accepted < count {
			return fmt.Errorf("node %d has accepted %q", n.ID(), said)
		}
		return nil
	})
}

// killAndAsk kills a node and says which of the others told of it as a leader when its end was first seen.
func killAndAsk(t *testing.T, c *harness.Cluster, id int) error {
	t.Helper()
	dial := func(n *harness.Node) net.Conn {
		conn, err := net.Dial("tcp", n.Address())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	var others []net.Conn
	for _, n := range c.Nodes() {
		if n.ID() != id {
			others = append(others, dial(n))
			if _, err := leadersToldBy(others[len(others)-1]); err != nil { // the connection is served
				t.Fatal(err)
			}
		}
	}
	seen := make(chan struct{}, clientsOfTheEnding)
	for range clientsOfTheEnding {
		conn := dial(c.Node(id))
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			seen <- struct{}{}
		}()
	}
	told := make(chan error, len(others))
	go func() {
		<-seen
		for _, conn := range others {
			go func() {
				began := time.Now()
				leaders, err := leadersToldBy(conn)
				if err == nil && leaders[int32(id)] {
					err = fmt.Errorf("%v tells of broker %d, which has just been killed, as a leader, after %v", conn.RemoteAddr(), id, time.Since(began))
				}
				told <- err
			}()
		}
	}()
	c.Node(id).Kill()
	var err error
	for range others {
		err = errors.Join(err, <-told)
	}
	return err
}

// leadersToldBy asks who leads the topic.
func leadersToldBy(conn net.Conn) (leaders map[int32]bool, err error) {
	r := kmsg.NewPtrMetadataRequest()
	r.Version = 8
	r.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("rides")}}
	answer := r.ResponseKind().(*kmsg.MetadataResponse)
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	if _, err := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, r, 1)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	if err := answer.ReadFrom(body[4:]); err != nil { // behind the correlation id
		return nil, err
	}
	leaders = map[int32]bool{}
	for _, p := range answer.Topics[0].Partitions {
		leaders[p.Leader] = true
	}
	return leaders, nil
}

// awaitInSync waits until every partition has that many replicas in sync.
func awaitInSync(t *testing.T, cl *kgo.Client, replicas int) {
	t.Helper()
	harness.Await(t, "replicas in sync", 2*time.Minute, func(ctx context.Context) (err error) {
		topics, err := kadm.NewClient(cl).ListTopics(ctx)
		if err != nil {
			return err
		}
		topics.EachPartition(func(p kadm.PartitionDetail) {
			if len(p.ISR) != replicas {
				err = errors.Join(err, fmt.Errorf("%s-%d: in sync %v", p.Topic, p.Partition, p.ISR))
			}
		})
		return err
	})
}
