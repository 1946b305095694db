//go:build e2e

package transactions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

const stageTopic, stagePartitions = "orders", 3

// stage is a cluster with a topic, what became of each transaction on it, and what a reader of committed records sees.
type stage struct {
	t *testing.T
	*harness.Cluster
	admin *kadm.Client

	mu        sync.Mutex
	committed []string        // guarded by mu: values that must be there, once
	aborted   map[string]bool // guarded by mu: values that must not be there
}

// newStage starts a cluster of so many nodes; a single node is one that is alone in its cluster.
func newStage(t *testing.T, nodes int) *stage {
	t.Helper()
	return newStageWith(t, nodes, nil, nil)
}

// newStageWith is newStage with settings of the topic, and further ones of the brokers.
func newStageWith(t *testing.T, nodes int, topic map[string]*string, more map[string]string) *stage {
	t.Helper()
	s := &stage{t: t, aborted: map[string]bool{}}
	replicas := int16(min(nodes, 3))
	settings := map[string]string{
		"replica.lag.time.max.ms": "5000", "transaction.state.log.replication.factor": fmt.Sprint(replicas),
		"transaction.state.log.min.isr": fmt.Sprint((replicas + 1) / 2), "log.cleaner.backoff.ms": "300",
	}
	maps.Copy(settings, more)
	s.Cluster = harness.StartCluster(t, harness.ClusterConfig{Nodes: nodes, Settings: settings})
	s.admin = kadm.NewClient(s.client())
	harness.Await(t, "the topic is there", time.Minute, func(ctx context.Context) error {
		created, err := s.admin.CreateTopic(ctx, stagePartitions, replicas, topic, stageTopic)
		if err = errors.Join(err, created.Err); errors.Is(err, kerr.TopicAlreadyExists) { // of an attempt whose answer was lost
			return nil
		}
		return err
	})
	return s
}

func (s *stage) client(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(s.Addresses()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.DialTimeout(2 * time.Second), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}, opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// producer writes transactions and notes what became of each.
type producer struct {
	stage   *stage
	client  *kgo.Client
	opts    []kgo.Opt
	written []string // of the open transaction
}

func (s *stage) producer(old bool, transactionalID string, opts ...kgo.Opt) *producer {
	s.t.Helper()
	opts = append(opts, kgo.TransactionalID(transactionalID), kgo.TransactionTimeout(time.Minute), kgo.RecordDeliveryTimeout(time.Minute))
	if old {
		opts = append(opts, kgo.MaxVersions(oldVersions()))
	}
	return &producer{stage: s, client: s.client(opts...), opts: opts}
}

func (p *producer) begin() {
	p.stage.t.Helper()
	p.written = nil
	if err := p.client.BeginTransaction(); err != nil {
		p.stage.t.Fatalf("begin: %v", err)
	}
}

func (p *producer) write(partition int32, value string) error {
	p.written = append(p.written, value)
	return p.client.ProduceSync(p.stage.t.Context(), &kgo.Record{Topic: stageTopic, Partition: partition, Value: []byte(value)}).FirstErr()
}

// end commits the transaction or aborts it. What a failed commit came to nobody knows. A producer that cannot go on is
// replaced by one of the same transactional id.
func (p *producer) end(commit bool) (committed bool) {
	p.stage.t.Helper()
	ctx, cancel := context.WithTimeout(p.stage.t.Context(), time.Minute)
	defer cancel()
	err := p.client.EndTransaction(ctx, kgo.TransactionEndTry(commit))
	if err != nil {
		p.client.Close()
		p.client = p.stage.client(p.opts...)
	}
	p.stage.mu.Lock()
	defer p.stage.mu.Unlock()
	switch {
	case commit && err == nil:
		p.stage.committed = append(p.stage.committed, p.written...)
	case !commit:
		for _, value := range p.written {
			p.stage.aborted[value] = true
		}
	}
	return err == nil && commit
}

// check reads everything that is committed and compares it with what producers were told. torn says that a transaction
// which was ended by somebody else may be there in part.
func (s *stage) check(torn bool, how ...kgo.Opt) {
	s.t.Helper()
	seen := s.readCommitted(how...)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range s.committed {
		if seen[value] != 1 {
			s.t.Errorf("%q was committed and is there %d times", value, seen[value])
		}
	}
	for value, times := range seen {
		if s.aborted[value] && !torn {
			s.t.Errorf("%q was aborted and is there", value)
		}
		if times > 1 {
			s.t.Errorf("%q is there %d times", value, times)
		}
	}
	if len(s.committed) == 0 {
		s.t.Error("nothing was committed: the test has shown nothing")
	}
}

// readCommitted reads every partition to its end, which no transaction may hold up any more.
func (s *stage) readCommitted(how ...kgo.Opt) map[string]int {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	ends := s.awaitStable()
	reader := s.client(append([]kgo.Opt{kgo.ConsumeTopics(stageTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, how...)...)
	seen, left := map[string]int{}, map[int32]int64{}
	ends.Each(func(end kadm.ListedOffset) {
		if end.Offset > 0 {
			left[end.Partition] = end.Offset
		}
	})
	for len(left) > 0 && ctx.Err() == nil {
		fetches := reader.PollFetches(ctx)
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				seen[string(r.Value)]++
			}
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
	if len(left) > 0 {
		s.t.Fatalf("these were not read to their ends: %v", left)
	}
	return seen
}

// awaitStable waits until no transaction is open, and returns where the partitions end.
func (s *stage) awaitStable() (ends kadm.ListedOffsets) {
	s.t.Helper()
	harness.Await(s.t, "no transaction is open", 90*time.Second, func(ctx context.Context) error {
		stable, err := s.admin.ListCommittedOffsets(ctx, stageTopic)
		if err == nil {
			ends, err = s.admin.ListEndOffsets(ctx, stageTopic)
		}
		if err = errors.Join(err, stable.Error(), ends.Error()); err != nil {
			return err
		}
		ends.Each(func(end kadm.ListedOffset) {
			if at, ok := stable.Lookup(end.Topic, end.Partition); !ok || at.Offset != end.Offset {
				err = errors.New("one is")
			}
		})
		return err
	})
	return ends
}

// watchStable asks for the last stable offset of every partition, again and again, until stopped: it never goes back.
func (s *stage) watchStable() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() {
		highest := make([]int64, stagePartitions)
		for ctx.Err() == nil {
			stable, err := s.admin.ListCommittedOffsets(ctx, stageTopic)
			if err != nil {
				continue
			}
			stable.Each(func(o kadm.ListedOffset) {
				if o.Err != nil {
					return
				}
				if o.Offset < highest[o.Partition] {
					s.t.Errorf("the last stable offset of partition %d went back from %d to %d", o.Partition, highest[o.Partition], o.Offset)
				}
				highest[o.Partition] = max(highest[o.Partition], o.Offset)
			})
		}
	})
	return func() {
		cancel()
		work.Wait()
	}
}

// leaderOf asks who leads a partition.
func (s *stage) leaderOf(topic string, partition int32) int {
	s.t.Helper()
	var leader int32
	harness.Await(s.t, "a partition has a leader", time.Minute, func(ctx context.Context) error {
		topics, err := s.admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		d := topics[topic].Partitions[partition]
		if leader = d.Leader; leader < 0 || d.Err != nil {
			return errors.New("there is none")
		}
		return nil
	})
	return int(leader)
}

// coordinatorOf asks who coordinates a transactional id.
func (s *stage) coordinatorOf(transactionalID string) int {
	s.t.Helper()
	var node int32
	client := s.client()
	harness.Await(s.t, "a transactional id has a coordinator", time.Minute, func(ctx context.Context) error {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.CoordinatorType, r.CoordinatorKey, r.CoordinatorKeys = 1, transactionalID, []string{transactionalID}
		answer, err := r.RequestWith(ctx, client)
		if err != nil {
			return err
		}
		if len(answer.Coordinators) > 0 {
			node = answer.Coordinators[0].NodeID
			if answer.Coordinators[0].ErrorCode == 0 {
				return nil
			}
		}
		return errors.New("there is none")
	})
	return int(node)
}

// watchCommitted reads what is committed, as it comes, until stopped: then what was aborted must not have been seen, not even for
// a moment.
func (s *stage) watchCommitted() (stop func()) {
	s.t.Helper()
	reader := s.client(kgo.ConsumeTopics(stageTopic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	seen := map[string]bool{}
	var work sync.WaitGroup
	work.Go(func() {
		for ctx.Err() == nil {
			reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { seen[string(r.Value)] = true })
		}
	})
	return func() {
		cancel()
		work.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		for value := range seen {
			if s.aborted[value] {
				s.t.Errorf("%q was aborted, and a reader saw it", value)
			}
		}
		if len(seen) == 0 {
			s.t.Error("the reader saw nothing: the test has shown nothing")
		}
	}
}

// values of a round that are all of one transaction.
func roundValues(round int, count int) (all []string) {
	for i := range count {
		all = append(all, string(rune('a'+i))+" of "+time.Duration(round).String())
	}
	return slices.Clip(all)
}
