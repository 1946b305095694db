//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
	"github.com/millrace-io/millrace/e2e/harness"
)

const (
	// transactionTimeout is after what the coordinator aborts what a producer has left behind.
	transactionTimeout = 8 * time.Second
	// endWithin bounds how long a producer waits for the end of a transaction before it gives up and comes back.
	endWithin = 30 * time.Second
)

// transact writes one transaction after the other under a transactional id, through clients that now and then leave one
// open and come back, until the context ends.
func (f *flow) transact(ctx context.Context, number int) {
	id := fmt.Sprintf("chaos-%d", number)
	for ctx.Err() == nil {
		f.transactor(ctx, id)
	}
}

// transactor is the life of one client.
func (f *flow) transactor(ctx context.Context, id string) {
	process := f.rec.Process(checker.Client{})
	opts := []kgo.Opt{kgo.TransactionalID(id), kgo.TransactionTimeout(transactionTimeout), kgo.DefaultProduceTopic(f.cfg.topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0)}
	if f.cfg.batchBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(f.cfg.batchBytes), kgo.ProducerBatchCompression(kgo.NoCompression()))
	}
	cl := f.client(opts...)
	defer cl.Close()
	for sequence := int32(0); ctx.Err() == nil; {
		if err := cl.BeginTransaction(); err != nil {
			f.refuse(fmt.Errorf("begin a transaction: %w", err))
			return
		}
		op := f.newTransaction(process, &sequence)
		if !f.runTransaction(cl, op) {
			return
		}
		time.Sleep(f.cfg.pause)
	}
}

// newTransaction thinks of a transaction: some records, each of a partition by chance.
func (f *flow) newTransaction(process int32, sequence *int32) checker.Op {
	op := checker.Op{Process: process, Kind: checker.Produce, Transaction: true}
	for range 1 + rand.IntN(8) {
		v := checker.Value{Process: process, Sequence: *sequence}
		*sequence++
		op.Steps = append(op.Steps, checker.Step{Key: checker.Key(rand.IntN(f.cfg.partitions)), Value: v, Offset: checker.NoOffset})
	}
	return op
}

// runTransaction writes a transaction and ends it one way or another. It reports whether the client can go on. Without
// the wish to commit a transaction provably never happens, whatever becomes of the abort.
func (f *flow) runTransaction(cl *kgo.Client, op checker.Op) bool {
	at := f.rec.Invoke(op)
	written, err := f.writeTransaction(cl, op.Steps)
	chance := rand.IntN(20)
	if err == nil && chance == 0 { // leave it open
		f.rec.Return(at, checker.Fail, nil, nil)
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if err != nil || chance < 4 {
		if err != nil {
			f.refuse(fmt.Errorf("write a transaction: %w", err))
		}
		aborted := cl.AbortBufferedRecords(ctx)
		if aborted == nil {
			aborted = cl.EndTransaction(ctx, kgo.TryAbort)
		}
		f.rec.Return(at, checker.Fail, aborted, nil)
		return aborted == nil
	}
	f.rec.Change(at, func(op *checker.Op, now time.Duration) { op.EndInvoked = now })
	if err = cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		f.refuse(fmt.Errorf("commit a transaction: %w", err))
		f.rec.Return(at, checker.Info, err, nil)
		return false
	}
	f.rec.Return(at, checker.OK, nil, func(op *checker.Op) { op.Steps = written })
	return true
}

// writeTransaction sends the records and waits for all; it returns the steps with their offsets.
func (f *flow) writeTransaction(cl *kgo.Client, steps []checker.Step) ([]checker.Step, error) {
	padding := " " + strings.Repeat("x", f.cfg.sizeBytes)
	var records []*kgo.Record
	for _, s := range steps {
		records = append(records, &kgo.Record{Partition: int32(s.Key), Value: []byte(s.Value.String() + padding)})
	}
	results := cl.ProduceSync(context.Background(), records...) // in the order in which they ended
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	written := append([]checker.Step(nil), steps...)
	for i, r := range records {
		written[i].Offset = r.Offset
	}
	return written, nil
}

// seal writes a last record to each partition, so that the end of each is a record that everybody reads: the marker of a
// transaction is none. So what was left open must have been ended by the coordinators before.
func (f *flow) seal() {
	f.t.Helper()
	f.awaitCompletion()
	process := f.rec.Process(checker.Client{})
	cl := f.client(kgo.DefaultProduceTopic(f.cfg.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer cl.Close()
	for p := range f.cfg.partitions {
		step := checker.Step{Key: checker.Key(p), Value: checker.Value{Process: process, Sequence: int32(p)}}
		at := f.rec.Invoke(checker.Op{Process: process, Kind: checker.Produce, Steps: []checker.Step{step}})
		r := &kgo.Record{Partition: int32(p), Value: []byte(step.Value.String())}
		if err := cl.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
			f.t.Fatalf("write the last record of partition %d: %v", p, err)
		}
		f.rec.Return(at, checker.OK, nil, func(op *checker.Op) { op.Steps[0].Offset = r.Offset })
	}
}

// awaitCompletion waits until no transaction is under way: those that were left open have timed out by then.
func (f *flow) awaitCompletion() {
	f.t.Helper()
	cl := f.client()
	defer cl.Close()
	admin := kadm.NewClient(cl)
	harness.Await(f.t, "every transaction has its end", finishWithin, func(ctx context.Context) error {
		transactions, err := admin.DescribeTransactions(ctx)
		if err != nil {
			return err
		}
		if len(transactions) != f.cfg.transactional {
			return fmt.Errorf("%d transactional ids are known, want %d", len(transactions), f.cfg.transactional)
		}
		for _, t := range transactions {
			if t.Err != nil || t.State != "Empty" && t.State != "CompleteCommit" && t.State != "CompleteAbort" {
				return fmt.Errorf("%+v", t)
			}
		}
		return nil
	})
}

// open tells which transactions hold readers back: what the partitions know of their producers, and the coordinators of theirs.
func (f *flow) open() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cl := f.client()
	defer cl.Close()
	admin := kadm.NewClient(cl)
	var text strings.Builder
	topics := kadm.TopicsSet{}
	for p := range f.cfg.partitions {
		topics.Add(f.cfg.topic, int32(p))
	}
	producers, err := admin.DescribeProducers(ctx, topics)
	fmt.Fprintf(&text, "open on partitions (error: %v):", err)
	producers.EachProducer(func(p kadm.DescribedProducer) {
		if p.CurrentTxnStartOffset >= 0 {
			fmt.Fprintf(&text, " %+v", p)
		}
	})
	transactions, err := admin.DescribeTransactions(ctx)
	fmt.Fprintf(&text, "; known to coordinators (error: %v):", err)
	for _, t := range transactions.Sorted() {
		fmt.Fprintf(&text, " %+v", t)
	}
	return text.String()
}

// Transactions under faults of processes and networks: a committed one is read whole, an aborted or abandoned one never, and
// nothing stays open that would hold back its readers.
func TestClusterTransactions(t *testing.T) {
	n := newNemesis(newScene(t, sceneConfig{hosts: true, flow: flowConfig{idempotent: 1, transactional: 4}}))
	faults := slices.DeleteFunc(n.networkFaults(), func(f fault) bool { return f.name == "a ring" })
	n.rage(append(faults, n.processFaults()...), rounds(t, 8))
	n.network.Heal()
	n.mustCommit("after the last fault")
	n.end()
}

// The same when power fails: what was answered to be committed is committed.
func TestClusterTransactionsPowerLoss(t *testing.T) {
	n := newNemesis(newScene(t, sceneConfig{diskMiB: 512, allowed: diskFaults(), flow: flowConfig{idempotent: 1, transactional: 4}}))
	n.rage(append(n.diskFaults(), n.processFaults()[0], n.processFaults()[6]), rounds(t, 6))
	n.mustCommit("after the last fault")
	n.end()
}

// mustCommit wants transactions to go through.
func (s *scene) mustCommit(when string) {
	s.t.Helper()
	before := s.flow.rec.Commits()
	for end := time.Now().Add(time.Minute); s.flow.rec.Commits() < before+20; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: %d transactions were committed within a minute", when, s.flow.rec.Commits()-before)
		}
	}
	s.t.Logf("%d transactions were committed", s.flow.rec.Commits())
}
