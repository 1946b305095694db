//go:build !race

// The race detector makes pools forget at random, so allocations cannot be counted under it.

package api

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// directSession is a session without a socket, and a function that handles a request and drops the answer.
func directSession(t testing.TB, n *testNode) func(kmsg.Request) func() {
	peer := &server.Peer{Context: context.Background(), Identity: security.Anonymous("127.0.0.1")}
	s := New(&Services{NodeID: 1, Replicas: n.replicas, Settings: n.services.Settings, Clock: n.services.Clock, Logger: n.services.Logger,
		Transactions: n.services.Transactions}).NewSession(peer)
	t.Cleanup(s.Close)
	var w server.Writer
	return func(r kmsg.Request) func() {
		body := r.AppendTo(nil)
		req := &server.Request{Key: r.Key(), Version: r.GetVersion(), Flexible: r.IsFlexible(), ClientID: "test", SizeBytes: len(body)}
		scratch := make([]byte, len(body))
		return func() {
			copy(scratch, body) // an append writes its offset into the frame
			req.Body = scratch
			if err := s.Handle(req, &w); err != nil {
				t.Fatal(err)
			}
			if err := s.Settle(&w); err != nil {
				t.Fatal(err)
			}
			w.Buf = w.Buf[:0]
		}
	}
}

// The hot paths allocate nothing of their own per request: what they need belongs to the connection.
func TestHotPathsDoNotAllocate(t *testing.T) {
	n := startNode(t)
	n.services.Transactions = new(scriptedCoordinator).verifier(t)
	id := n.topic("orders", 1, map[string]string{"write.caching": "true"})
	request := directSession(t, n)
	// In a transaction that is open; sent again, it is answered as a duplicate.
	transaction := request(transactionalProduce(13, id, transactional(t, 0, 0, "a small record")))
	produce := request(produceOf(13, -1, "", id, 0, batch(t, "a small record")))
	small := fetchOf(13, "", id, map[int32]int64{0: 0})
	small.Topics[0].Partitions[0].PartitionMaxBytes = 1000 // copied into the answer: nobody flushes this writer
	fetch := request(small)
	for range 100 {
		produce()
		fetch()
		transaction()
	}
	for name, path := range map[string]struct {
		run   func()
		limit float64
	}{
		"produce":                  {produce, 0},
		"produce in a transaction": {transaction, 0},
		"fetch":                    {fetch, 1}, // the log looks at the index of the active segment
	} {
		if allocations := testing.AllocsPerRun(500, path.run); allocations > path.limit {
			t.Errorf("%s: %v allocations per request, at most %v are expected", name, allocations, path.limit)
		}
	}
}

func BenchmarkProduce(b *testing.B) {
	n := startNode(b)
	n.topic("orders", 1, map[string]string{"write.caching": "true"})
	produce := directSession(b, n)(produceOf(9, -1, "orders", image.TopicID{}, 0, batch(b, string(make([]byte, 1024)))))
	for b.Loop() {
		produce()
	}
}

func BenchmarkFetch(b *testing.B) {
	n := startNode(b)
	n.topic("orders", 1, map[string]string{"write.caching": "true"})
	request := directSession(b, n)
	request(produceOf(9, -1, "orders", image.TopicID{}, 0, batch(b, string(make([]byte, 1024)))))()
	fetch := request(fetchOf(12, "orders", image.TopicID{}, map[int32]int64{0: 0}))
	for b.Loop() {
		fetch()
	}
}
