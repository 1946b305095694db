package verify

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// coordinators answer questions: every request waits for release unless that is nil.
type coordinators struct {
	mu       sync.Mutex
	requests [][]string // transactional ids of each request
	codes    map[string]int16
	release  chan struct{}
	err      error
}

func (c *coordinators) send(ctx context.Context, _ int32, r *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	var ids []string
	answer := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	c.mu.Lock()
	for _, asked := range r.Transactions {
		ids = append(ids, asked.TransactionalID)
		t := kmsg.NewAddPartitionsToTxnResponseTransaction()
		t.TransactionalID = asked.TransactionalID
		for _, askedTopic := range asked.Topics {
			topic := kmsg.NewAddPartitionsToTxnResponseTransactionTopic()
			topic.Topic = askedTopic.Topic
			for _, n := range askedTopic.Partitions {
				p := kmsg.NewAddPartitionsToTxnResponseTransactionTopicPartition()
				p.Partition, p.ErrorCode = n, c.codes[asked.TransactionalID]
				topic.Partitions = append(topic.Partitions, p)
			}
			t.Topics = append(t.Topics, topic)
		}
		answer.Transactions = append(answer.Transactions, t)
	}
	c.requests = append(c.requests, ids)
	release, err := c.release, c.err
	c.mu.Unlock()
	if release != nil {
		select {
		case <-release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return answer, err
}

func (c *coordinators) verifier(self int32) *Verifier {
	return New(Config{
		NodeID: self, Coordinator: func(id string) (int32, bool) { return 2, id != "lost" }, Send: c.send, Timeout: 10 * time.Second,
		Patience: func() time.Duration { return 100 * time.Millisecond }, Pause: func() time.Duration { return 20 * time.Millisecond },
		Enabled: func() bool { return true }, Logger: slog.New(slog.DiscardHandler),
	})
}

func question(id string, epoch int16) *Question {
	return &Question{TransactionalID: id, ProducerID: 1, ProducerEpoch: epoch, Partitions: []TopicPartition{{"a", 0}, {"b", 1}, {"a", 2}}}
}

// in asks in the background; the answer is there once the bubble is quiet.
func in(v *Verifier, q *Question) *[]int16 {
	codes := new([]int16)
	go func() { *codes = v.Ask(context.Background(), q) }()
	synctest.Wait()
	return codes
}

func TestWhatComesMeanwhileGoesWithTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{release: make(chan struct{})}
		v := c.verifier(1)
		defer v.Close()
		var all []*[]int16
		for _, id := range []string{"first", "second", "third", "second"} {
			all = append(all, in(v, question(id, 0)))
		}
		c.release <- struct{}{}
		synctest.Wait()
		c.release <- struct{}{}
		synctest.Wait()
		c.release <- struct{}{} // a transactional id is in a request once
		synctest.Wait()
		if want := [][]string{{"first"}, {"second", "third"}, {"second"}}; !slices.EqualFunc(c.requests, want, slices.Equal) {
			t.Errorf("requests %v, want %v", c.requests, want)
		}
		for i, codes := range all {
			if !slices.Equal(*codes, []int16{0, 0, 0}) {
				t.Errorf("question %d: %v", i, *codes)
			}
		}
	})
}

func TestAnEarlierEpochIsFencedWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{release: make(chan struct{})}
		v := c.verifier(1)
		defer v.Close()
		in(v, question("busy", 0))
		older, newer := in(v, question("id", 3)), in(v, question("id", 4))
		close(c.release)
		synctest.Wait()
		if fenced := kerr.InvalidProducerEpoch.Code; !slices.Equal(*older, []int16{fenced, fenced, fenced}) {
			t.Errorf("earlier epoch: %v", *older)
		}
		if !slices.Equal(*newer, []int16{0, 0, 0}) {
			t.Errorf("later epoch: %v", *newer)
		}
	})
}

func TestACompletionIsWaitedForWhereAPartitionIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{codes: map[string]int16{"id": kerr.ConcurrentTransactions.Code}}
		v := c.verifier(2)
		defer v.Close()
		if codes := *in(v, question("id", 0)); codes[0] != kerr.ConcurrentTransactions.Code || len(c.requests) != 1 {
			t.Errorf("verified only: %v after %d requests", codes, len(c.requests))
		}
		adding := question("id", 0)
		adding.Add = true
		began := time.Now()
		codes := v.Ask(t.Context(), adding)
		if codes[0] != kerr.ConcurrentTransactions.Code || time.Since(began) != 100*time.Millisecond {
			t.Errorf("%v after %v", codes, time.Since(began))
		}
		done := in(v, adding)
		time.Sleep(10 * time.Millisecond)
		c.mu.Lock()
		c.codes = nil
		c.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
		if !slices.Equal(*done, []int16{0, 0, 0}) {
			t.Errorf("completed: %v", *done)
		}
	})
}

func TestCodesThatProducersExpect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{codes: map[string]int16{"fenced": kerr.ProducerFenced.Code, "over": kerr.TransactionAbortable.Code}}
		v := c.verifier(2)
		defer v.Close()
		for id, want := range map[string]*kerr.Error{
			"fenced": kerr.InvalidProducerEpoch, "over": kerr.TransactionAbortable, "lost": kerr.CoordinatorNotAvailable,
		} {
			if codes := *in(v, question(id, 0)); codes[2] != want.Code {
				t.Errorf("%s: %v, want %v", id, codes, want)
			}
		}
		c.err = errors.New("cut")
		if codes := *in(v, question("any", 0)); codes[0] != kerr.NetworkException.Code {
			t.Errorf("no answer: %v", codes)
		}
	})
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &coordinators{release: make(chan struct{})}
		v := c.verifier(1)
		first, second := in(v, question("a", 0)), in(v, question("b", 0))
		v.Close()
		synctest.Wait()
		for _, codes := range []*[]int16{first, second, in(v, question("c", 0))} {
			if len(*codes) != 3 || (*codes)[0] != kerr.NetworkException.Code {
				t.Errorf("%v", *codes)
			}
		}
	})
}
