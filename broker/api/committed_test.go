package api

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/metadata/image"
)

// committedReader reads a partition as a consumer with isolation.level=read_committed does, from an offset on, in answers
// of at most so many bytes.
func (c *client) committedReader(from int64, maxBytes int32) (all []string) {
	c.t.Helper()
	for {
		fetch := fetchOf(12, "orders", image.TopicID{}, map[int32]int64{0: from})
		fetch.IsolationLevel, fetch.Topics[0].Partitions[0].PartitionMaxBytes = 1, maxBytes
		p := c.request(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			c.t.Fatal(kerr.ErrorForCode(p.ErrorCode))
		}
		if len(p.RecordBatches) == 0 {
			return all
		}
		all = append(all, c.committed(p.RecordBatches, p.AbortedTransactions)...)
		for rest := p.RecordBatches; len(rest) > 0; {
			b, next, err := record.Split(rest)
			if err != nil {
				c.t.Fatal(err)
			}
			from, rest = b.NextOffset(), next
		}
	}
}

// committed filters an answer as clients do: an aborted transaction hides its producer's records from its first offset to
// the abort marker.
func (c *client) committed(records []byte, aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction) (visible []string) {
	c.t.Helper()
	left := slices.Clone(aborted)
	slices.SortFunc(left, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return int(a.FirstOffset - b.FirstOffset)
	})
	hidden := map[int64]bool{}
	for len(records) > 0 {
		b, rest, err := record.Split(records)
		if err != nil {
			c.t.Fatal(err)
		}
		for len(left) > 0 && left[0].FirstOffset <= b.LastOffset() {
			hidden[left[0].ProducerID] = true
			left = left[1:]
		}
		switch {
		case b.Attributes().IsControl():
			if marker, ok, err := record.ParseEndTxnMarker(b); err == nil && ok && marker.Type == record.AbortMarker {
				delete(hidden, b.ProducerID())
			}
		case !b.Attributes().IsTransactional() || !hidden[b.ProducerID()]:
			visible = append(visible, values(c.t, b)...)
		}
		records = rest
	}
	return visible
}

// Redpanda #3036: the last stable offset is where a reader stops, and not the last one it may read.
func TestTheFirstRecordOfAnOpenTransactionIsNotRead(t *testing.T) {
	n, _, id := startTransactional(t, 1)
	c := n.dial()
	c.produce("orders", 0, "plain")
	c.request(transactionalProduce(12, id, transactional(t, 0, 0, "open")))
	if got := c.committedReader(0, 1<<20); !slices.Equal(got, []string{"plain"}) {
		t.Fatalf("read %v", got)
	}
	list := kmsg.NewPtrListOffsetsRequest()
	list.Version, list.ReplicaID, list.IsolationLevel = 7, -1, 1
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Timestamp, p.CurrentLeaderEpoch = -1, -1
	list.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
	if end := c.request(list).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; end.Offset != 1 || end.ErrorCode != 0 {
		t.Fatalf("%+v", end)
	}
	c.end(markersOf(2, 1, 2, true, 0))
	if got := c.committedReader(0, 1<<20); !slices.Equal(got, []string{"plain", "open"}) {
		t.Fatalf("read %v", got)
	}
}

// Redpanda 21.10: a transaction was refused with INVALID_TXN_STATE, and its records were seen later.
func TestWhatWasRefusedIsNeverSeen(t *testing.T) {
	for _, version := range []int16{9, 12} {
		n, coordinator, id := startTransactional(t, 1)
		c := n.dial()
		for _, refusal := range []*kerr.Error{kerr.InvalidTxnState, kerr.NotCoordinator, kerr.NetworkException, kerr.TransactionAbortable} {
			coordinator.set(refusal.Code, nil)
			if codes := produceCodes(c.request(transactionalProduce(version, id, transactional(t, 0, 0, "refused")))); codes[0] == 0 {
				t.Fatalf("version %d: %v let it in", version, refusal)
			}
		}
		coordinator.set(0, nil)
		c.request(transactionalProduce(version, id, transactional(t, 0, 0, "accepted")))
		c.end(markersOf(1, 0, 0, true, 0))
		if got := c.committedReader(0, 1<<20); !slices.Equal(got, []string{"accepted"}) {
			t.Fatalf("version %d: read %v", version, got)
		}
	}
}

// Bufstream 0.1.0: a reader that lagged was not shown what lay between aborted transactions.
func TestAReaderThatLagsSeesEveryCommittedRecord(t *testing.T) {
	n, _, id := startTransactional(t, 1)
	c := n.dial()
	var want []string
	for i := range 60 {
		epoch := int16(i)
		value := fmt.Sprint("record ", i)
		c.request(transactionalProduce(12, id, transactional(t, epoch, 0, value)))
		if i%3 == 0 {
			c.produce("orders", 0, "plain "+value)
			want = append(want, "plain "+value)
		}
		commit := i%4 == 0
		if codes := c.end(markersOf(2, epoch+1, 2, commit, 0)); codes[0] != 0 {
			t.Fatalf("marker %d: %v", i, codes)
		}
		if commit {
			want = append(want, value)
		}
	}
	slices.Sort(want)
	for _, maxBytes := range []int32{1, 200, 1000, 1 << 20} {
		got := c.committedReader(0, maxBytes)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("in answers of %d bytes: read %d records, want %d", maxBytes, len(got), len(want))
		}
	}
}
