package api

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// waitingFetch sends a fetch from an offset on, and returns once the broker has it waiting.
func (n *testNode) waitingFetch(c *client, id image.TopicID, offset int64, minBytes int32) *kmsg.FetchRequest {
	n.t.Helper()
	r := fetchOf(12, "orders", id, map[int32]int64{0: offset})
	r.MaxWaitMillis, r.MinBytes = 20_000, minBytes
	before := n.watching()
	c.send(r)
	n.eventually("the fetch waits", func() bool { return n.watching() > before })
	return r
}

// watching counts the fetches that wait for partition 0.
func (n *testNode) watching() int {
	return n.replicas.TopicByName(security.DefaultTenant, []byte("orders")).Partition(0).Watchers()
}

func (n *testNode) eventually(what string, is func() bool) {
	n.t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("%s: not within 20 s", what)
		}
	}
}

var durabilities = map[string]map[string]string{"write caching": {"write.caching": "true"}, "flushed": nil}

// More clients wait than an append answers itself; some ask for more than one batch has, and one answer does not fit a
// small write.
func TestWaitingFetchesAreAnsweredByWhatIsAppended(t *testing.T) {
	for name, configs := range durabilities {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			id := n.topic("orders", 1, configs)
			producer := n.dial()
			clients := make([]*client, 7)
			for i := range clients {
				clients[i] = n.dial()
			}
			sent := []string{"x", strings.Repeat("y", 150<<10), "z"}
			for offset, value := range sent {
				asked := make([]*kmsg.FetchRequest, len(clients))
				for i, c := range clients {
					asked[i] = n.waitingFetch(c, id, int64(offset), 1)
				}
				if p := producer.produce("orders", 0, value); p.ErrorCode != 0 || p.BaseOffset != int64(offset) {
					t.Fatalf("%+v", p)
				}
				for i, c := range clients {
					p := c.read(c.id, asked[i]).(*kmsg.FetchResponse).Topics[0].Partitions[0]
					if p.HighWatermark != int64(offset)+1 || !slices.Equal(values(t, p.RecordBatches), []string{value}) {
						t.Fatalf("client %d at offset %d: %d bytes, high watermark %d", i, offset, len(p.RecordBatches), p.HighWatermark)
					}
				}
			}
		})
	}
}

// What a client sends while its fetch waits is answered after it.
func TestRequestsBehindAWaitingFetch(t *testing.T) {
	for name, configs := range durabilities {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			id := n.topic("orders", 1, configs)
			c, producer := n.dial(), n.dial()
			fetch := n.waitingFetch(c, id, 0, 1)
			fetchID := c.id
			behind := kmsg.NewPtrApiVersionsRequest()
			behind.Version = 3
			c.send(behind)
			time.Sleep(10 * time.Millisecond) // it may arrive before or after what follows: both must do
			producer.produce("orders", 0, "x")
			if p := c.read(fetchID, fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]; len(p.RecordBatches) == 0 {
				t.Fatalf("%+v", p)
			}
			c.read(c.id, behind)
			if again := n.waitingFetch(c, id, 1, 1); producer.produce("orders", 0, "y").ErrorCode != 0 || c.read(c.id, again) == nil {
				t.Fatal("no second answer")
			}
		})
	}
}

func TestClientsThatLeaveWhileTheirFetchWaits(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, durabilities["write caching"])
	var clients []*client
	for range 5 {
		c := n.dial()
		n.waitingFetch(c, id, 0, 1)
		clients = append(clients, c)
	}
	for _, c := range clients {
		c.conn.Close()
	}
	n.eventually("nobody waits", func() bool { return n.watching() == 0 })
	if p := n.dial().produce("orders", 0, "x"); p.ErrorCode != 0 {
		t.Fatalf("%+v", p)
	}
}

func TestWaitingFetchIsAnsweredAtACleanStop(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, durabilities["write caching"])
	c := n.dial()
	fetch := n.waitingFetch(c, id, 0, 1000)
	n.dial().produce("orders", 0, "not enough")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := n.server.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if p := c.read(c.id, fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]; len(p.RecordBatches) == 0 {
		t.Fatalf("%+v", p)
	}
	if !c.closed() {
		t.Fatal("the connection is open")
	}
}

// Producers and consumers of both kinds at once: everybody reads everything in order, whoever gives the answers.
func TestManyWaitingFetchesReadEverything(t *testing.T) {
	const producers, consumers, each = 3, 6, 60
	for name, configs := range durabilities {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			id := n.topic("orders", 1, configs)
			var group sync.WaitGroup
			for i := range consumers {
				c := n.dial()
				group.Go(func() { consumeAll(t, c, id, producers*each, i) })
			}
			for i := range producers {
				c := n.dial()
				group.Go(func() {
					for j := range each {
						r := produceOf(9, -1, "orders", id, 0, batch(t, fmt.Sprint(i, " ", j)))
						if err := exchange(c, r); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
		})
	}
}

func exchange(c *client, r kmsg.Request) error {
	c.id++
	if _, err := c.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, r, c.id)); err != nil {
		return err
	}
	_, err := readResponse(c.conn, c.id, r)
	return err
}

// consumeAll fetches until it has so many records, and holds their offsets against what it expects.
func consumeAll(t *testing.T, c *client, id image.TopicID, records int64, kind int) {
	for offset := int64(0); offset < records; {
		r := fetchOf(12, "orders", id, map[int32]int64{0: offset})
		r.MaxWaitMillis, r.MinBytes = int32(20+500*(kind%2)), int32(1+150*(kind%3))
		c.id++
		if _, err := c.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, r, c.id)); err != nil {
			t.Error(err)
			return
		}
		answer, err := readResponse(c.conn, c.id, r)
		if err != nil {
			t.Error(err)
			return
		}
		p := answer.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			t.Errorf("error code %d", p.ErrorCode)
			return
		}
		for b := p.RecordBatches; len(b) > 0; {
			size := 12 + int(b[8])<<24 + int(b[9])<<16 + int(b[10])<<8 + int(b[11])
			if got := int64(b[7]) | int64(b[6])<<8; got != offset {
				t.Errorf("offset %d, want %d", got, offset)
				return
			}
			offset++
			b = b[size:]
		}
	}
}
