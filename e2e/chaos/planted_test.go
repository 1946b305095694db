//go:build e2e

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
	"github.com/millrace-io/millrace/e2e/harness"
)

// run is a chaos run whose history is judged by the caller. fault is that of the broker; "" is the ordinary binary.
type run func(t *testing.T, fault string) *checker.Report

// inPeace is a node that nothing happens to, under a flow.
func inPeace(flow flowConfig, configs map[string]*string) run {
	return func(t *testing.T, fault string) *checker.Report {
		m := harness.StartMillrace(t, harness.MillraceConfig{Planted: fault})
		if flow.spoiled = fault != ""; flow.partitions == 0 {
			flow.partitions = 3
		}
		createTopic(t, m.Address(), "chaos", int32(flow.partitions), configs)
		f := startFlow(t, []string{m.Address()}, flow)
		f.mustProgress("at the start", 10*time.Second, nil)
		time.Sleep(2 * time.Second)
		history, _ := f.conclude()
		return checker.Check(history)
	}
}

// withFailover is a cluster in which a leader has what nobody else has when it is killed, comes back, and leads again.
func withFailover(t *testing.T, fault string) *checker.Report {
	s := newScene(t, sceneConfig{planted: fault, flow: flowConfig{partitions: 3, spoiled: fault != ""}})
	victim := s.leader(0)
	leave := s.flow.orphans(100)
	for _, other := range s.others(victim) {
		other.Pause()
	}
	leave()
	victim.Kill()
	for _, other := range s.others(victim) {
		other.Resume()
	}
	s.flow.mustPass("under another leader", 2000)
	victim.Restart()
	s.awaitInSync(30 * time.Second)
	s.lead(victim)
	s.flow.mustProgress("under the first leader", progressDuring, nil)
	history, _ := s.flow.conclude()
	return checker.Check(history)
}

// orphans begins a client, and returns what has it write so many records of partition 0 and leave without an answer: so that
// nobody sends them to another leader.
func (f *flow) orphans(count int) (leave func()) {
	f.t.Helper()
	process := f.rec.Process(checker.Client{})
	cl := f.client(kgo.DefaultProduceTopic(f.cfg.topic), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	f.t.Cleanup(cl.Close)
	send := func(n int, told func(error)) {
		v := checker.Value{Process: process, Sequence: int32(n)}
		at := f.rec.Invoke(checker.Op{Process: process, Kind: checker.Produce, Steps: []checker.Step{{Value: v, Offset: checker.NoOffset}}})
		cl.Produce(context.Background(), &kgo.Record{Value: []byte(v.String())}, func(r *kgo.Record, err error) {
			f.rec.Return(at, classify(err), err, func(op *checker.Op) {
				if err == nil {
					op.Steps[0].Offset = r.Offset
				}
			})
			told(err)
		})
	}
	first := make(chan error, 1)
	send(0, func(err error) { first <- err })
	if err := <-first; err != nil {
		f.t.Fatalf("write a record: %v", err)
	}
	return func() {
		for n := range count {
			send(1+n, func(error) {})
		}
		time.Sleep(time.Second) // the leader has them, and waits for its followers
		cl.Close()
	}
}

// mustPass wants so many more records of partition 0 acknowledged.
func (f *flow) mustPass(when string, more int) {
	f.t.Helper()
	before := f.rec.Acked(0)
	for end := time.Now().Add(time.Minute); f.rec.Acked(0) < before+more; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("%s: %d records were acknowledged in partition 0 within a minute, want %d", when, f.rec.Acked(0)-before, more)
		}
	}
}

// lead makes a node lead partition 0, of which it is the preferred replica.
func (s *scene) lead(node *harness.Node) {
	s.t.Helper()
	admin, done := s.admin()
	defer done()
	topics := kadm.TopicsSet{}
	topics.Add("chaos", 0)
	harness.Await(s.t, fmt.Sprintf("node %d leads again", node.ID()), 30*time.Second, func(ctx context.Context) error {
		if _, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, topics); err != nil {
			return err
		}
		partitions, err := s.partitions(ctx)
		if err == nil && partitions[0].Leader != int32(node.ID()) {
			err = fmt.Errorf("partition 0: %+v", partitions[0])
		}
		return err
	})
}

// inACircle is two transactions that look for what the other has written, before either has ended. In a history of operations
// that only write, or only read, there is no circle to find.
func inACircle(t *testing.T, fault string) *checker.Report {
	m := harness.StartMillrace(t, harness.MillraceConfig{Planted: fault})
	createTopic(t, m.Address(), "chaos", 2, nil)
	f := &flow{t: t, addresses: []string{m.Address()}, rec: NewRecorder(), refused: map[string]int{}, cfg: flowConfig{topic: "chaos", partitions: 2, transactional: 2}}
	patience := time.Second // nothing comes, however long one waits
	if fault != "" {
		patience = 30 * time.Second
	}
	var both [2]*mixed
	for i := range both {
		both[i] = f.beginMixed(i)
	}
	for _, m := range both {
		m.read(patience)
	}
	for _, m := range both {
		m.end()
	}
	return checker.Check(f.rec.History())
}

// mixed is a transaction that writes and reads.
type mixed struct {
	f        *flow
	producer *kgo.Client
	consumer *kgo.Client
	at       int // its operation in the history
	steps    []checker.Step
}

// beginMixed writes the first record of a partition, in a transaction.
func (f *flow) beginMixed(partition int) *mixed {
	f.t.Helper()
	process := f.rec.Process(checker.Client{})
	starts := map[int32]kgo.Offset{}
	for p := range int32(f.cfg.partitions) {
		starts[p] = kgo.NewOffset().At(0)
	}
	m := &mixed{f: f,
		producer: f.client(kgo.TransactionalID(fmt.Sprintf("chaos-%d", partition)), kgo.DefaultProduceTopic(f.cfg.topic), kgo.RecordPartitioner(kgo.ManualPartitioner())),
		consumer: f.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.cfg.topic: starts}), f.isolation(checker.Client{})),
	}
	f.t.Cleanup(m.producer.Close)
	f.t.Cleanup(m.consumer.Close)
	m.steps = []checker.Step{{Key: checker.Key(partition), Value: checker.Value{Process: process}, Offset: checker.NoOffset}}
	m.at = f.rec.Invoke(checker.Op{Process: process, Kind: checker.Produce, Transaction: true, Steps: m.steps})
	err := m.producer.BeginTransaction()
	if err == nil {
		m.steps, err = f.writeTransaction(m.producer, m.steps)
	}
	if err != nil {
		f.t.Fatalf("begin a transaction: %v", err)
	}
	return m
}

// read reads until there is a record of each partition.
func (m *mixed) read(patience time.Duration) {
	ctx, cancel := context.WithTimeout(m.f.t.Context(), patience)
	defer cancel()
	for len(m.steps) < 1+m.f.cfg.partitions && ctx.Err() == nil {
		m.consumer.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			v, err := checker.ParseValue(string(r.Value))
			if err != nil {
				m.f.t.Error(err)
			}
			m.steps = append(m.steps, checker.Step{Read: true, Key: checker.Key(r.Partition), Value: v, Offset: r.Offset, Epoch: r.LeaderEpoch})
		})
	}
}

func (m *mixed) end() {
	m.f.t.Helper()
	m.f.rec.Change(m.at, func(op *checker.Op, now time.Duration) { op.EndInvoked = now })
	if err := m.producer.EndTransaction(m.f.t.Context(), kgo.TryCommit); err != nil {
		m.f.t.Fatalf("commit a transaction: %v", err)
	}
	m.f.rec.Return(m.at, checker.OK, nil, func(op *checker.Op) { op.Steps = m.steps })
}

// plantedBugs are faults of broker/planted and the anomaly that each must be named by.
func plantedBugs() map[string]struct {
	run  run
	want map[string]string
} {
	segments := map[string]*string{"segment.bytes": kadm.StringPtr("1048576")}
	return map[string]struct {
		run  run
		want map[string]string
	}{
		"records": {inPeace(flowConfig{trusting: 1}, segments), map[string]string{
			"forgets-batches": checker.LostWrite, "hides-active-segment": checker.Unseen, "appends-retries": checker.Duplicate,
			"leaves-out-middle": checker.IntPollSkip, "leaves-out-first": checker.PollSkip, "goes-back": checker.NonmonotonicPoll,
			"turns-round": checker.IntNonmonotonicPoll, "exchanges-batches": checker.NonmonotonicSend, "answers-zero": checker.SpuriousZero,
		}},
		"transactions": {inPeace(flowConfig{transactional: 4}, nil), map[string]string{
			"commits-aborted": checker.AbortedRead, "lists-no-aborted": checker.AbortedRead, "shows-open-transactions": checker.PrecommittedRead,
			"tears-transactions": checker.Torn,
		}},
		// Each record is a batch of its own, so that there are several of a transaction to exchange.
		"batches":  {inPeace(flowConfig{transactional: 4, partitions: 1, sizeBytes: 300, batchBytes: 512}, nil), map[string]string{"exchanges-batches": checker.IntNonmonotonicSend}},
		"circle":   {inACircle, map[string]string{"shows-open-transactions": checker.G1c}},
		"failover": {withFailover, map[string]string{"follows-blindly": checker.InconsistentOffset}},
	}
}

// Every anomaly is found in a real broker that has the bug for it, and none in one that has not.
func TestPlanted(t *testing.T) {
	for name, bugs := range plantedBugs() {
		t.Run(name+"/sound", func(t *testing.T) {
			if report := bugs.run(t, ""); report.Failed() {
				t.Errorf("nothing is planted, and found is: %v", report)
			}
		})
		for fault, want := range bugs.want {
			t.Run(name+"/"+fault, func(t *testing.T) {
				report := bugs.run(t, fault)
				t.Logf("found: %v", report.Counts)
				if report.Counts[want] == 0 {
					t.Errorf("the checker does not name %s: %v", want, report)
				}
			})
		}
	}
}

// The ordinary binary has none of the hooks, and does not look for a fault's name.
func TestOrdinaryBinaryHasNoPlantedFault(t *testing.T) {
	if traces := plantedTraces(t, harness.MillraceBinary(t)); len(traces) > 0 {
		t.Errorf("the ordinary binary has %v", traces)
	}
	if traces := plantedTraces(t, harness.PlantedBinary(t)); len(traces) < 5 {
		t.Errorf("the binary for planted faults has only %v: this test looks for the wrong thing", traces)
	}
}

// plantedTraces are what a binary has of broker/planted.
func plantedTraces(t *testing.T, binary string) (traces []string) {
	t.Helper()
	symbols, err := exec.Command("go", "tool", "nm", binary).Output()
	if err != nil {
		t.Fatalf("list the symbols of %s: %v", binary, err)
	}
	for line := range strings.Lines(string(symbols)) {
		if strings.Contains(strings.ToLower(line), "planted") {
			traces = append(traces, strings.TrimSpace(line))
		}
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(content, []byte("MILLRACE_PLANTED")) {
		traces = append(traces, "the name of the environment variable")
	}
	return traces
}
