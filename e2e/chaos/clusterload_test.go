//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
)

// flowConfig says what a flow sends and reads.
type flowConfig struct {
	topic         string
	partitions    int   // default 6
	idempotent    int   // producers; default 3
	careless      int   // producers that are not idempotent
	transactional int   // producers of transactions; readers read what is committed then, and one reads everything
	assigned      int   // readers of all partitions; default 2
	grouped       int   // members of a group that commits; default 2
	trusting      int   // readers that take what one node sends as it comes
	sizeBytes     int   // of a value, at least; default 100
	batchBytes    int32 // of a transaction's batch, at most; default: the client's
	pause         time.Duration
	patient       bool // the client's own timeouts, as an application has them that sets none
	spoiled       bool // the broker has a planted fault: what a reader is told is the checker's business alone
}

// flow is clients that write to a cluster and read from it through every fault, all of it recorded.
type flow struct {
	t         *testing.T
	cfg       flowConfig
	addresses []string
	rec       *Recorder
	writing   context.CancelFunc
	reading   context.CancelFunc
	writers   sync.WaitGroup
	readers   sync.WaitGroup
	clients   []*kgo.Client // of the producers

	mu      sync.Mutex
	refused map[string]int    // guarded by mu: records given up, and what a reader was told that it never should be
	alarms  []kgo.ErrDataLoss // guarded by mu: what readers of transactions were told to be lost
}

func startFlow(t *testing.T, addresses []string, cfg flowConfig) *flow {
	t.Helper()
	if cfg.topic == "" {
		cfg.topic = "chaos"
	}
	orDefault := func(n *int, fallback int) {
		if *n == 0 {
			*n = fallback
		}
	}
	orDefault(&cfg.partitions, 6)
	orDefault(&cfg.idempotent, 3)
	orDefault(&cfg.assigned, 2)
	orDefault(&cfg.grouped, 2)
	orDefault(&cfg.sizeBytes, 100)
	if cfg.pause == 0 {
		cfg.pause = 10 * time.Millisecond
	}
	f := &flow{t: t, cfg: cfg, addresses: addresses, rec: NewRecorder(), refused: map[string]int{}}
	writing, stopWriting := context.WithCancel(context.Background())
	reading, stopReading := context.WithCancel(context.Background())
	f.writing, f.reading = stopWriting, stopReading
	t.Cleanup(func() { stopWriting(); stopReading() })
	for range cfg.idempotent {
		f.write(writing, checker.Client{})
	}
	for range cfg.careless {
		f.write(writing, checker.Client{AtLeastOnce: true}, kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.AllISRAcks()), kgo.MaxProduceRequestsInflightPerBroker(4))
	}
	for n := range cfg.transactional {
		f.writers.Go(func() { f.transact(writing, n) })
	}
	for range cfg.assigned {
		f.readers.Go(func() { f.readAssigned(reading, checker.Client{}) })
	}
	if cfg.transactional > 0 {
		f.readers.Go(func() { f.readAssigned(reading, checker.Client{Uncommitted: true}) })
	}
	for range cfg.trusting {
		f.readers.Go(func() { f.readTrusting(reading) })
	}
	for range cfg.grouped {
		f.readers.Go(func() { f.readGrouped(reading) })
	}
	f.readers.Go(func() { f.watch(reading) })
	return f
}

// client returns one that notices faults soon: the test waits for the cluster, not for the client's patience.
func (f *flow) client(opts ...kgo.Opt) *kgo.Client {
	base := []kgo.Opt{
		kgo.SeedBrokers(f.addresses...), kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(time.Second),
	}
	if !f.cfg.patient {
		base = append(base, kgo.ProduceRequestTimeout(2*time.Second), kgo.RequestTimeoutOverhead(time.Second), kgo.RetryTimeout(10*time.Second))
	}
	cl, err := kgo.NewClient(append(base, opts...)...)
	if err != nil {
		panic("BUG: options of a client: " + err.Error()) // not of the test's goroutine
	}
	return cl
}

func (f *flow) write(ctx context.Context, c checker.Client, opts ...kgo.Opt) {
	process := f.rec.Process(c)
	cl := f.client(append([]kgo.Opt{
		kgo.DefaultProduceTopic(f.cfg.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(inFlightRecords),
	}, opts...)...)
	f.clients = append(f.clients, cl)
	padding := " " + strings.Repeat("x", f.cfg.sizeBytes)
	f.writers.Go(func() {
		for n := 0; ctx.Err() == nil; n++ {
			v := checker.Value{Process: process, Sequence: int32(n)}
			key := checker.Key(n % f.cfg.partitions)
			at := f.rec.Invoke(checker.Op{Process: process, Kind: checker.Produce, Steps: []checker.Step{{Key: key, Value: v, Offset: checker.NoOffset}}})
			// Without idempotence a client does not bind the context's end to records that may be on their way.
			cl.Produce(context.Background(), &kgo.Record{Partition: int32(key), Value: []byte(v.String() + padding)}, func(r *kgo.Record, err error) {
				f.rec.Return(at, classify(err), err, func(op *checker.Op) {
					if err == nil {
						op.Steps[0].Offset = r.Offset
					}
				})
				if err != nil {
					f.refuse(err)
				}
			})
			if n%20 == 0 {
				time.Sleep(f.cfg.pause)
			}
		}
	})
}

// classify says what an error of a produce proves: nearly always nothing.
func classify(err error) checker.Outcome {
	if err == nil {
		return checker.OK
	}
	for _, definite := range []error{
		kerr.MessageTooLarge, kerr.InvalidRecord, kerr.CorruptMessage, kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.UnsupportedVersion, kerr.InvalidTopicException, kerr.InvalidRequiredAcks, kerr.RecordListTooLarge, kerr.PolicyViolation,
	} {
		if errors.Is(err, definite) {
			return checker.Fail
		}
	}
	return checker.Info
}

func (f *flow) refuse(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refused[err.Error()]++
}

// isolation is what a reader asks for.
func (f *flow) isolation(c checker.Client) kgo.Opt {
	if f.cfg.transactional > 0 && !c.Uncommitted {
		return kgo.FetchIsolationLevel(kgo.ReadCommitted())
	}
	return kgo.FetchIsolationLevel(kgo.ReadUncommitted())
}

// readAssigned reads every partition from the start until the context ends.
func (f *flow) readAssigned(ctx context.Context, c checker.Client) {
	starts := map[int32]kgo.Offset{}
	for p := range int32(f.cfg.partitions) {
		starts[p] = kgo.NewOffset().At(0)
	}
	process := f.rec.Process(c)
	cl := f.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.cfg.topic: starts}), kgo.ConsumeResetOffset(kgo.NoResetOffset()), kgo.FetchMaxWait(500*time.Millisecond), f.isolation(c))
	defer cl.Close()
	f.rec.Invoke(checker.Op{Process: process, Kind: checker.Assign})
	for ctx.Err() == nil {
		f.poll(ctx, cl, process, nil)
	}
}

// poll reads once and records it; told offsets of the partitions are returned.
func (f *flow) poll(ctx context.Context, cl *kgo.Client, process int32, rebalanced *atomic.Bool) (fetches kgo.Fetches, failed bool) {
	at := f.rec.Invoke(checker.Op{Process: process, Kind: checker.Poll})
	fetches = cl.PollFetches(ctx)
	var steps []checker.Step
	var bad error
	fetches.EachRecord(func(r *kgo.Record) {
		v, err := checker.ParseValue(string(r.Value))
		if err != nil {
			bad = err
			v = checker.Value{Process: -1, Sequence: int32(r.Offset)} // a phantom
		}
		steps = append(steps, checker.Step{Read: true, Key: checker.Key(r.Partition), Value: v, Offset: r.Offset, Epoch: r.LeaderEpoch})
	})
	fetches.EachError(func(_ string, p int32, err error) {
		if !errors.Is(err, context.Canceled) {
			f.told(fmt.Errorf("partition %d: %w", p, err))
			bad = err
		}
	})
	f.rec.Return(at, checker.OK, bad, func(op *checker.Op) {
		op.Steps = steps
		op.Rebalanced = rebalanced != nil && rebalanced.Swap(false)
	})
	return fetches, bad != nil
}

// told notes an error that reached a reader. Those that say that data is gone fail the test: nothing is. With transactions
// mustBeMarkers judges them in the end.
func (f *flow) told(err error) {
	var loss *kgo.ErrDataLoss
	if f.cfg.transactional > 0 && !f.cfg.spoiled && errors.As(err, &loss) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.alarms = append(f.alarms, *loss)
		return
	}
	if !f.cfg.spoiled && (errors.As(err, &loss) || errors.Is(err, kerr.OffsetOutOfRange) || errors.Is(err, kerr.CorruptMessage)) {
		f.t.Errorf("at %v a reader was told: %v", f.rec.Now().Round(time.Millisecond), err)
	}
	f.refuse(fmt.Errorf("a reader was told: %w", err))
}

const groupName = "chaos-readers"

// readGrouped is one member of the group; it commits what it has read, and leaves and comes back now and then.
func (f *flow) readGrouped(ctx context.Context) {
	for ctx.Err() == nil {
		session, cancel := context.WithTimeout(ctx, 5*time.Second+rand.N(20*time.Second))
		f.member(session)
		cancel()
	}
}

func (f *flow) member(ctx context.Context) {
	var rebalanced atomic.Bool
	process := f.rec.Process(checker.Client{Grouped: true})
	changed := func(context.Context, *kgo.Client, map[string][]int32) { rebalanced.Store(true) }
	cl := f.client(kgo.ConsumerGroup(groupName), f.isolation(checker.Client{}), kgo.ConsumeTopics(f.cfg.topic), kgo.DisableAutoCommit(), kgo.SessionTimeout(6*time.Second),
		kgo.HeartbeatInterval(500*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.OnPartitionsAssigned(changed), kgo.OnPartitionsRevoked(changed), kgo.OnPartitionsLost(changed))
	defer cl.Close()
	for ctx.Err() == nil {
		fetches, _ := f.poll(ctx, cl, process, &rebalanced)
		if fetches.NumRecords() == 0 {
			continue
		}
		f.commit(ctx, cl, process, fetches)
	}
}

func (f *flow) commit(ctx context.Context, cl *kgo.Client, process int32, fetches kgo.Fetches) {
	op := checker.Op{Process: process, Kind: checker.Commit, Group: groupName}
	offsets := map[string]map[int32]kgo.EpochOffset{f.cfg.topic: {}}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			last := p.Records[len(p.Records)-1]
			offsets[f.cfg.topic][p.Partition] = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
			op.Steps = append(op.Steps, checker.Step{Key: checker.Key(p.Partition), Offset: last.Offset + 1})
		}
	})
	at := f.rec.Invoke(op)
	var failed error
	cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err != nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	outcome := checker.OK
	if failed != nil {
		outcome = checker.Info
	}
	f.rec.Return(at, outcome, failed, nil)
}

// watch asks again and again for the ends and starts of the partitions and for the group's offsets.
func (f *flow) watch(ctx context.Context) {
	process := f.rec.Process(checker.Client{})
	cl := f.client()
	defer cl.Close()
	admin := kadm.NewClient(cl)
	for ctx.Err() == nil {
		f.look(ctx, process, checker.Ends, func(ctx context.Context) ([]checker.Step, error) {
			return listed(admin.ListEndOffsets(ctx, f.cfg.topic))
		})
		f.look(ctx, process, checker.Starts, func(ctx context.Context) ([]checker.Step, error) {
			return listed(admin.ListStartOffsets(ctx, f.cfg.topic))
		})
		f.look(ctx, process, checker.Committed, func(ctx context.Context) (steps []checker.Step, err error) {
			offsets, err := admin.FetchOffsets(ctx, groupName)
			offsets.Each(func(o kadm.OffsetResponse) {
				if o.Err == nil && o.Offset.At >= 0 {
					steps = append(steps, checker.Step{Key: checker.Key(o.Partition), Offset: o.Offset.At})
				}
			})
			return steps, err
		})
		time.Sleep(50 * time.Millisecond)
	}
}

func listed(offsets kadm.ListedOffsets, err error) (steps []checker.Step, _ error) {
	offsets.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			steps = append(steps, checker.Step{Key: checker.Key(o.Partition), Offset: o.Offset})
		}
	})
	return steps, err
}

func (f *flow) look(ctx context.Context, process int32, kind checker.Kind, ask func(context.Context) ([]checker.Step, error)) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	op := checker.Op{Process: process, Kind: kind}
	if kind == checker.Committed {
		op.Group = groupName
	}
	at := f.rec.Invoke(op)
	steps, err := ask(ctx)
	outcome := checker.OK
	if err != nil {
		outcome = checker.Info
	}
	f.rec.Return(at, outcome, err, func(op *checker.Op) { op.Steps = steps })
}
