package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// trio is three brokers without a quorum that replicate over sockets: the image is what the test says.
type trio struct {
	t     testing.TB
	nodes map[int32]*testNode
	// internal holds, by leader and follower, where the follower reaches the leader: each has a listener of its own there, which
	// stands for the handshake that names it.
	internal map[[2]int32]string
	image    *image.Image
	index    uint64
	cluster  []func(*replica.Cluster) // change what replicas know of each other
	deaf     int32                    // this broker does not hear of changes; 0: all do
}

func startTrio(t testing.TB, cluster ...func(*replica.Cluster)) *trio {
	t.Helper()
	c := &trio{t: t, nodes: map[int32]*testNode{}, internal: map[[2]int32]string{}, image: image.Empty(), cluster: cluster}
	for id := int32(1); id <= 3; id++ {
		c.nodes[id] = c.start(id)
	}
	c.edit(func(e *image.Edit) error {
		for id := int32(1); id <= 3; id++ {
			if err := e.PutBroker(&image.Broker{ID: id, Epoch: 100 + int64(id), Rack: fmt.Sprint("rack", id)}); err != nil {
				return err
			}
		}
		return nil
	})
	return c
}

func (c *trio) start(id int32) *testNode {
	t := c.t
	logger := slog.New(slog.DiscardHandler)
	n := &testNode{t: t}
	var err error
	n.dir, err = log.OpenDir(log.DirConfig{Path: t.TempDir(), FS: vfs.OS(), Clock: time.Now, Logger: logger, ClusterID: "test", NodeID: id})
	if err != nil {
		t.Fatal(err)
	}
	settings := config.NewResolver(id, nil)
	cluster := replica.Cluster{Leaders: trioLeaders{c, id}, BrokerEpoch: func() int64 { return 100 + int64(id) }, RackAware: true}
	for _, change := range c.cluster {
		change(&cluster)
	}
	n.replicas, err = replica.New(replica.Config{NodeID: id, Dirs: []*log.Dir{n.dir}, Settings: settings, Clock: time.Now, Logger: logger, Cluster: cluster})
	if err != nil {
		t.Fatal(err)
	}
	n.services = &Services{NodeID: id, Replicas: n.replicas, Settings: settings, Clock: time.Now, Logger: logger, InternalListener: internalListener}
	sessions := New(n.services)
	var closing []func()
	n.server = c.serve("PLAINTEXT", sessions.NewSession, &closing)
	for other := int32(1); other <= 3; other++ {
		s := c.serve(internalListener, func(p *server.Peer) server.Session {
			p.Identity = security.Identity{Tenant: security.DefaultTenant, Principal: BrokerPrincipal(other)}
			return sessions.NewSession(p)
		}, &closing)
		c.internal[[2]int32{id, other}] = s.Addr().String()
	}
	t.Cleanup(func() {
		n.replicas.Close()
		for _, end := range closing {
			end()
		}
		if err := n.dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (c *trio) serve(name string, sessions func(*server.Peer) server.Session, closing *[]func()) *server.Server {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := server.New(server.Config{Name: name, Listener: listener, NewSession: sessions, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		c.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	*closing = append(*closing, func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(ctx)
		<-served
	})
	return s
}

func (c *trio) edit(change func(*image.Edit) error) {
	c.t.Helper()
	c.index++
	edit := c.image.Edit(c.index)
	if err := change(edit); err != nil {
		c.t.Fatal(err)
	}
	next, changes := edit.Done()
	delta := changes.Delta(c.image, next)
	c.image = next
	for id := int32(1); id <= 3; id++ {
		if id != c.deaf {
			c.nodes[id].replicas.Apply(delta)
		}
	}
}

// topic makes a topic whose partitions are all led by broker 1 and have a replica everywhere.
func (c *trio) topic(name string, partitions int, settings map[string]string) (id image.TopicID) {
	c.t.Helper()
	copy(id[:], fmt.Sprintf("%-16s", name))
	var parts []*image.Partition
	for range partitions {
		parts = append(parts, &image.Partition{Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2, 3}, Leader: 1, LeaderEpoch: 3})
	}
	c.edit(func(e *image.Edit) error {
		return e.CreateTopic(image.NewTopic(id, security.DefaultTenant, name, false, settings, parts))
	})
	return id
}

func (c *trio) partition(node int32, topic string) *replica.Partition {
	return c.nodes[node].replicas.TopicByName(security.DefaultTenant, []byte(topic)).Partition(0)
}

func (c *trio) eventually(what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// trioLeaders is how one of the three reaches the others.
type trioLeaders struct {
	trio *trio
	self int32
}

func (l trioLeaders) Dial(_ context.Context, nodeID int32) (replica.Leader, error) {
	conn, err := net.Dial("tcp", l.trio.internal[[2]int32{nodeID, l.self}])
	if err != nil {
		return nil, err
	}
	return &trioLink{Conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), formatter: kmsg.NewRequestFormatter()}, nil
}

func (l trioLeaders) Do(ctx context.Context, nodeID int32, req kmsg.Request) (kmsg.Response, error) {
	conn, err := l.Dial(ctx, nodeID)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if req.GetVersion() == 0 {
		req.SetVersion(req.MaxVersion())
	}
	resp := req.ResponseKind()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, err = conn.DoInto(req, resp, nil, time.Minute)
	return resp, err
}

// trioLink is one connection.
type trioLink struct {
	net.Conn
	reader    *bufio.Reader
	formatter *kmsg.RequestFormatter
	out       []byte
}

func (l *trioLink) DoInto(req kmsg.Request, resp kmsg.Response, buf []byte, _ time.Duration) ([]byte, error) {
	l.out = l.formatter.AppendRequest(l.out[:0], req, 1)
	if _, err := l.Conn.Write(l.out); err != nil {
		return buf, err
	}
	var head [4 + 4 + 1]byte
	if _, err := io.ReadFull(l.reader, head[:]); err != nil {
		return buf, err
	}
	n := int(binary.BigEndian.Uint32(head[:])) - 5
	if n > cap(buf) {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(l.reader, buf); err != nil {
		return buf, err
	}
	return buf, resp.ReadFrom(buf)
}

func TestProduceAndFetchAcrossThreeBrokers(t *testing.T) {
	c := startTrio(t)
	id := c.topic("orders", 1, map[string]string{"min.insync.replicas": "3"})
	client := c.nodes[1].dial()
	for i := range 50 {
		if p := client.produce("orders", 0, fmt.Sprint(i)); p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("produce %d: %+v", i, p)
		}
	}
	for node := int32(1); node <= 3; node++ {
		if p := c.partition(node, "orders"); p.Log() == nil || p.Log().FlushedOffset() != 50 {
			t.Errorf("broker %d has not flushed what was acknowledged", node)
		}
	}
	c.eventually("followers know the high watermark", func() bool {
		return c.partition(2, "orders").HighWatermark() == 50 && c.partition(3, "orders").HighWatermark() == 50
	})
	for node := int32(1); node <= 3; node++ {
		p := c.nodes[node].dial().request(fetchOf(13, "", id, map[int32]int64{0: 20})).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if got := values(t, p.RecordBatches); p.ErrorCode != 0 || p.HighWatermark != 50 || len(got) != 30 || got[0] != "20" {
			t.Errorf("fetch from broker %d: error %d, high watermark %d, %d records", node, p.ErrorCode, p.HighWatermark, len(got))
		}
	}
	old := c.nodes[2].dial().request(fetchOf(10, "orders", image.TopicID{}, map[int32]int64{0: 20})).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if old.ErrorCode != kerr.NotLeaderForPartition.Code {
		t.Errorf("a client that knows nothing of followers is answered by one with %d", old.ErrorCode)
	}
	beyond := c.nodes[2].dial().request(fetchOf(13, "", id, map[int32]int64{0: 99})).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if beyond.ErrorCode != kerr.OffsetNotAvailable.Code {
		t.Errorf("a follower that is asked for what it does not have answers %d", beyond.ErrorCode)
	}
}

// A replica that does not lead first compares the leader epoch that a client knows with its own, as Kafka does: only who
// knows the same one is told that another broker leads.
func TestAFollowerComparesEpochsBeforeItSaysWhoLeads(t *testing.T) {
	c := startTrio(t)
	c.topic("orders", 1, nil)
	c.nodes[1].dial().produce("orders", 0, "x")
	epoch := c.partition(2, "orders").LeaderEpoch()
	follower := c.nodes[2].dial()
	for known, want := range map[int32]*kerr.Error{
		-1: kerr.NotLeaderForPartition, epoch: kerr.NotLeaderForPartition, epoch - 1: kerr.FencedLeaderEpoch, epoch + 1: kerr.UnknownLeaderEpoch,
	} {
		list := listOf(7, 0, -1)
		list.Topics[0].Partitions[0].CurrentLeaderEpoch = known
		listed := follower.request(list).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode
		fetch := fetchOf(10, "orders", image.TopicID{}, map[int32]int64{0: 0})
		fetch.Topics[0].Partitions[0].CurrentLeaderEpoch = known
		fetched := follower.request(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode
		ended := follower.request(epochOf(known, epoch)).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0].ErrorCode
		if listed != want.Code || fetched != want.Code || ended != want.Code {
			t.Errorf("epoch %d of %d: ListOffsets %d, Fetch %d, OffsetForLeaderEpoch %d, want %d", known, epoch, listed, fetched, ended, want.Code)
		}
	}
}

func TestReaderIsSentToTheReplicaInItsRack(t *testing.T) {
	c := startTrio(t)
	id := c.topic("orders", 1, nil)
	client := c.nodes[1].dial()
	client.produce("orders", 0, "x")
	for rack, want := range map[string]int32{"": -1, "rack1": -1, "rack2": 2, "rack3": 3, "elsewhere": -1} {
		r := fetchOf(13, "", id, map[int32]int64{0: 0})
		r.Rack = rack
		p := client.request(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if p.PreferredReadReplica != want || (len(p.RecordBatches) == 0) != (want >= 0) {
			t.Errorf("%q: preferred replica %d, want %d; %d bytes", rack, p.PreferredReadReplica, want, len(p.RecordBatches))
		}
	}
}

func TestDeleteRecordsWaitsForFollowers(t *testing.T) {
	c := startTrio(t)
	c.topic("orders", 1, nil)
	client := c.nodes[1].dial()
	for i := range 10 {
		client.produce("orders", 0, fmt.Sprint(i))
	}
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = 2, 10_000
	r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 7}}}}
	p := client.request(r).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LowWatermark != 7 {
		t.Fatalf("%+v", p)
	}
	for node := int32(2); node <= 3; node++ {
		if start := c.partition(node, "orders").LogStartOffset(); start != 7 {
			t.Errorf("broker %d begins at %d", node, start)
		}
	}
}

// Only a broker may fetch as a replica, only as itself, and only as its present start.
func TestFetchAsReplicaIsRefused(t *testing.T) {
	c := startTrio(t)
	id := c.topic("orders", 1, nil)
	ask := func(address string, replica int32, epoch int64) int16 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := fetchOf(17, "", id, map[int32]int64{0: 0})
		r.SessionEpoch = 0
		r.ReplicaState.ID, r.ReplicaState.Epoch = replica, epoch
		return (&client{t: t, conn: conn}).request(r).(*kmsg.FetchResponse).ErrorCode
	}
	for _, test := range []struct {
		name    string
		address string
		replica int32
		epoch   int64
		want    int16
	}{
		{"itself", c.internal[[2]int32{1, 2}], 2, 102, 0},
		{"a client", c.nodes[1].server.Addr().String(), 2, 102, kerr.ClusterAuthorizationFailed.Code},
		{"another broker", c.internal[[2]int32{1, 2}], 3, 103, kerr.ClusterAuthorizationFailed.Code},
		{"an earlier start", c.internal[[2]int32{1, 2}], 2, 101, kerr.StaleBrokerEpoch.Code},
	} {
		if got := ask(test.address, test.replica, test.epoch); got != test.want {
			t.Errorf("%s: %d, want %d", test.name, got, test.want)
		}
	}
}

func BenchmarkProduceReplicated(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		for _, caching := range []string{"false", "true"} {
			b.Run(fmt.Sprintf("%dKiB/cached=%s", size>>10, caching), func(b *testing.B) {
				c := startTrio(b)
				c.topic("orders", 1, map[string]string{"write.caching": caching})
				client := c.nodes[1].dial()
				client.conn.SetDeadline(time.Time{})
				value := make([]byte, size)
				r := produceOf(9, -1, "orders", image.TopicID{}, 0, batch(b, string(value)))
				b.SetBytes(int64(size))
				b.ReportAllocs()
				const window = 8
				inFlight := 0
				next := int32(1)
				for b.Loop() {
					if inFlight == window {
						client.read(next, r)
						next++
						inFlight--
					}
					client.send(r)
					inFlight++
				}
				for ; inFlight > 0; inFlight-- {
					client.read(next, r)
					next++
				}
			})
		}
	}
}
