package api

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// node is a broker without a metadata quorum: the image is what the test says.
type testNode struct {
	t        testing.TB
	image    *image.Image
	dir      *log.Dir
	replicas *replica.Manager
	services *Services
	server   *server.Server
	index    uint64
}

func startNode(t testing.TB) *testNode {
	t.Helper()
	n := &testNode{t: t, image: image.Empty()}
	logger := slog.New(slog.DiscardHandler)
	var err error
	n.dir, err = log.OpenDir(log.DirConfig{Path: t.TempDir(), FS: vfs.OS(), Clock: time.Now, Logger: logger, ClusterID: "test", NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	settings := config.NewResolver(1, nil)
	n.replicas, err = replica.New(replica.Config{NodeID: 1, Dirs: []*log.Dir{n.dir}, Settings: settings, Clock: time.Now, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	n.services = &Services{NodeID: 1, Replicas: n.replicas, Settings: settings, Clock: time.Now, Logger: logger}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.server, err = server.New(server.Config{Name: "PLAINTEXT", Listener: listener, NewSession: New(n.services).NewSession, Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- n.server.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		n.server.Close(ctx)
		<-served
		n.replicas.Close()
		if err := n.dir.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// edit changes the image and lets the replicas follow.
func (n *testNode) edit(change func(*image.Edit) error) {
	n.t.Helper()
	n.index++
	edit := n.image.Edit(n.index)
	if err := change(edit); err != nil {
		n.t.Fatal(err)
	}
	next, changes := edit.Done()
	delta := changes.Delta(n.image, next)
	n.image = next
	n.replicas.Apply(delta)
}

// topic creates a topic led by this node and returns its id.
func (n *testNode) topic(name string, partitions int, settings map[string]string) image.TopicID {
	n.t.Helper()
	var id image.TopicID
	copy(id[:], fmt.Sprintf("%-16s", name+fmt.Sprint(n.index)))
	var parts []*image.Partition
	for range partitions {
		parts = append(parts, &image.Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1, LeaderEpoch: 3})
	}
	internal := name == "__consumer_offsets"
	n.edit(func(e *image.Edit) error {
		return e.CreateTopic(image.NewTopic(id, security.DefaultTenant, name, internal, settings, parts))
	})
	return id
}

// client speaks to a node over a socket.
type client struct {
	t    testing.TB
	conn net.Conn
	id   int32
}

func (n *testNode) dial() *client {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.server.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	return &client{t: n.t, conn: conn}
}

func (c *client) send(r kmsg.Request) {
	c.t.Helper()
	c.id++
	if _, err := c.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, r, c.id)); err != nil {
		c.t.Fatal(err)
	}
}

// read reads the answer with the given correlation id.
func (c *client) read(id int32, r kmsg.Request) kmsg.Response {
	c.t.Helper()
	answer, err := readResponse(c.conn, id, r)
	if err != nil {
		c.t.Fatalf("answer to %s version %d: %v", kmsg.NameForKey(r.Key()), r.GetVersion(), err)
	}
	return answer
}

func readResponse(conn io.Reader, id int32, r kmsg.Request) (kmsg.Response, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(conn, b); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(b)); got != id {
		return nil, fmt.Errorf("correlation id %d, want %d", got, id)
	}
	b = b[4:]
	answer := r.ResponseKind()
	if answer.IsFlexible() && answer.Key() != 18 {
		b = b[1:]
	}
	return answer, answer.ReadFrom(b)
}

func (c *client) request(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(r)
	return c.read(c.id, r)
}

func (c *client) closed() bool {
	_, err := c.conn.Read(make([]byte, 1))
	return err == io.EOF
}

// batch makes one batch of records with the given values.
func batch(t testing.TB, values ...string) record.Batch {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{PartitionLeaderEpoch: -1})
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v), nil)
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func produceOf(version int16, acks int16, topic string, id image.TopicID, partition int32, records []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = version, acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = topic, id
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, records
	t.Partitions = append(t.Partitions, p)
	r.Topics = append(r.Topics, t)
	return r
}

func (c *client) produce(topic string, partition int32, values ...string) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	r := produceOf(9, -1, topic, image.TopicID{}, partition, batch(c.t, values...))
	return c.request(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

func fetchOf(version int16, topic string, id image.TopicID, offsets map[int32]int64) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxBytes, r.MinBytes, r.MaxWaitMillis, r.SessionEpoch = version, 50<<20, 1, 0, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	for number := range int32(100) {
		offset, ok := offsets[number]
		if !ok {
			continue
		}
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch = number, offset, 1<<20, -1
		p.LastFetchedEpoch, p.LogStartOffset = -1, -1
		t.Partitions = append(t.Partitions, p)
	}
	if len(t.Partitions) > 0 {
		r.Topics = append(r.Topics, t)
	}
	return r
}

// values returns the values of all records in a partition's answer.
func values(t testing.TB, records []byte) (all []string) {
	t.Helper()
	var d record.Decompressor
	for len(records) > 0 {
		b, rest, err := record.Split(records)
		if err != nil {
			t.Fatalf("split: %v", err)
		}
		if err := b.VerifyCRC(); err != nil {
			t.Fatal(err)
		}
		for r, err := range b.Records(&d) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(r.Value))
		}
		records = rest
	}
	return all
}

func newTestPeer() *server.Peer {
	return &server.Peer{Context: context.Background(), Identity: security.Anonymous("127.0.0.1")}
}
