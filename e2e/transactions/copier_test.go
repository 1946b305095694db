//go:build e2e

package transactions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// copierVariable holds the specification of a copier in its environment.
const copierVariable = "MILLRACE_TEST_COPIER"

func TestMain(m *testing.M) {
	text := os.Getenv(copierVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var spec copierSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	go func() { // a copier does not outlive its test
		for os.Getppid() == spec.Parent {
			time.Sleep(100 * time.Millisecond)
		}
		os.Exit(0)
	}()
	for { // until it is killed: an error ends an incarnation, as the death of its process does
		fmt.Fprintln(os.Stderr, spec.ID, spec.run(context.Background()))
		time.Sleep(100 * time.Millisecond)
	}
}

// copierSpec says what a copier does.
type copierSpec struct {
	ID         string // transactional id, and instance id in the group
	Group      string
	From, To   string
	Brokers    []string
	Batch      int // records of a transaction, at most
	AbortEvery int // every n-th transaction is aborted on purpose
	Old        bool
	Parent     int
	Pause      time.Duration // in each transaction, so that a fault meets it half done
}

// oldVersions are what a producer of transaction version 1 speaks, as librdkafka does.
func oldVersions() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.Produce), 10)
	v.SetMaxKeyVersion(int16(kmsg.AddPartitionsToTxn), 0)
	v.SetMaxKeyVersion(int16(kmsg.AddOffsetsToTxn), 0)
	v.SetMaxKeyVersion(int16(kmsg.EndTxn), 1)
	v.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 3)
	return v
}

func (s *copierSpec) run(ctx context.Context) error {
	opts := []kgo.Opt{
		kgo.SeedBrokers(s.Brokers...), kgo.TransactionalID(s.ID), kgo.TransactionTimeout(20 * time.Second),
		kgo.ConsumerGroup(s.Group), kgo.InstanceID(s.ID), kgo.ConsumeTopics(s.From), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.SessionTimeout(10 * time.Second),
		kgo.HeartbeatInterval(500 * time.Millisecond), kgo.MetadataMinAge(50 * time.Millisecond), kgo.DialTimeout(2 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.FetchMaxWait(100 * time.Millisecond),
	}
	if s.Old {
		opts = append(opts, kgo.MaxVersions(oldVersions()))
	}
	session, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return err
	}
	defer session.Close()
	for n := 1; ; n++ {
		if err := s.copy(ctx, session, n); err != nil {
			return err
		}
	}
}

// copy is one transaction.
func (s *copierSpec) copy(ctx context.Context, session *kgo.GroupTransactSession, n int) error {
	fetched := session.PollRecords(ctx, s.Batch)
	if fetched.IsClientClosed() {
		return errors.New("closed")
	}
	if err := session.Begin(); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	abort := s.AbortEvery > 0 && n%s.AbortEvery == 0
	fetched.EachRecord(func(r *kgo.Record) {
		copied := &kgo.Record{Topic: s.To, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if abort {
			copied.Headers = []kgo.RecordHeader{{Key: abortedHeader}}
		}
		session.Produce(ctx, copied, nil)
	})
	time.Sleep(s.Pause)
	how := kgo.TryCommit
	if abort {
		how = kgo.TryAbort
	}
	_, err := session.End(ctx, how)
	if err != nil {
		return fmt.Errorf("end: %w", err)
	}
	return nil
}

// copier is one running copier.
type copier struct {
	t    *testing.T
	spec copierSpec
	cmd  *exec.Cmd
	log  *os.File
}

func startCopier(t *testing.T, spec copierSpec) *copier {
	t.Helper()
	log, err := os.CreateTemp(t.ArtifactDir(), strings.ReplaceAll(spec.ID, " ", "-")+"-*.log")
	if err != nil {
		t.Fatal(err)
	}
	c := &copier{t: t, spec: spec, log: log}
	c.start()
	t.Cleanup(func() {
		c.kill()
		log.Close()
	})
	return c
}

func (c *copier) start() {
	c.t.Helper()
	c.spec.Parent = os.Getpid()
	text, err := json.Marshal(c.spec)
	if err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), copierVariable+"="+string(text))
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *copier) kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.cmd = nil
	}
}
