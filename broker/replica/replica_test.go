package replica

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

func TestLookup(t *testing.T) {
	c := newCluster(t)
	id := c.create("orders", 2, nil)
	c.edit(func(e *image.Edit) error {
		return e.CreateTopic(image.NewTopic(image.TopicID{7}, security.DefaultTenant, "elsewhere", false, nil,
			[]*image.Partition{{Replicas: []int32{2}, ISR: []int32{2}, Leader: 2}, {Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Leader: 2}}))
	})
	for _, test := range []struct {
		topic  string
		number int32
		want   *kerr.Error
	}{
		{"orders", 0, nil}, {"orders", 1, nil}, {"orders", 2, kerr.UnknownTopicOrPartition}, {"orders", -1, kerr.UnknownTopicOrPartition},
		{"nowhere", 0, kerr.UnknownTopicOrPartition},
		{"elsewhere", 0, kerr.NotLeaderForPartition}, {"elsewhere", 1, kerr.NotLeaderForPartition}, {"elsewhere", 2, kerr.UnknownTopicOrPartition},
	} {
		if _, err := c.ByName(security.DefaultTenant, test.topic, test.number); err != test.want {
			t.Errorf("%s-%d: %v, want %v", test.topic, test.number, err, test.want)
		}
	}
	if _, err := c.ByName("another tenant", "orders", 0); err != kerr.UnknownTopicOrPartition {
		t.Errorf("another tenant's topic: %v", err)
	}
	if _, err := c.Partition(id, 1); err != nil {
		t.Error(err)
	}
	if _, err := c.Partition(image.TopicID{9}, 0); err != kerr.UnknownTopicID {
		t.Error(err)
	}
}

func TestRecordsSurviveARestart(t *testing.T) {
	c := newCluster(t, vfs.NewMemory(), vfs.NewMemory())
	c.create("orders", 4, nil)
	for i := range 20 {
		c.append(c.partition("orders", int32(i%4)), fmt.Sprint(i))
	}
	c.stop()
	c.start()
	for number := range int32(4) {
		p := c.partition("orders", number)
		if p.HighWatermark() != 5 || p.LogEndOffset() != 5 || p.LogStartOffset() != 0 || p.LastStableOffset() != 5 {
			t.Errorf("%s: high watermark %d, end %d", p.Name(), p.HighWatermark(), p.LogEndOffset())
		}
	}
	if a, b := c.dirLoad[c.dirs[0]], c.dirLoad[c.dirs[1]]; a != 2 || b != 2 {
		t.Errorf("directories hold %d and %d partitions, want 2 each", a, b)
	}
	if offset := c.append(c.partition("orders", 0), "more"); offset != 5 {
		t.Errorf("the next record has offset %d", offset)
	}
}

// After a crash the directory knows of nothing flushed since its last checkpoint. What was committed must be committed for
// the first one who looks, however long the flush takes that makes it so.
func TestHighWatermarkDoesNotFallInACrash(t *testing.T) {
	disk := vfs.NewMemory()
	c := newCluster(t, disk)
	c.create("orders", 1, nil)
	for i := range 5 {
		c.append(c.partition("orders", 0), fmt.Sprint(i))
	}
	crashed := disk.CrashClone(rand.New(rand.NewPCG(1, 2)))
	c.stop()
	c.fs[0] = vfs.NewFaulty(crashed, func(op vfs.Op) error {
		if op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncFS {
			time.Sleep(50 * time.Millisecond)
		}
		return nil
	})
	c.start()
	p := c.partition("orders", 0)
	if _, err := p.OpenLog(); err != nil {
		t.Fatal(err)
	}
	if p.HighWatermark() != 5 || p.LogEndOffset() != 5 {
		t.Errorf("high watermark %d, end %d, want the 5 committed records", p.HighWatermark(), p.LogEndOffset())
	}
}

// Leader epochs are read when they are first asked for after a clean stop. While the disk does not give them, where an epoch ends is
// not told: a reader would take an empty answer for the end of what is left of its log, and begin there.
func TestEpochsThatCannotBeReadAreNoEmptyLog(t *testing.T) {
	var broken atomic.Bool
	c := newCluster(t, vfs.NewFaulty(vfs.NewMemory(), func(op vfs.Op) error {
		if broken.Load() && strings.HasSuffix(op.Name, "leader-epoch-checkpoint") {
			return syscall.EIO
		}
		return nil
	}))
	c.create("orders", 1, nil)
	c.append(c.partition("orders", 0), "x")
	c.stop()
	c.start()
	p := c.partition("orders", 0)
	before := p.LeaderEpoch() - 1
	broken.Store(true)
	if epoch, end, err := p.EndOffsetForEpoch(before); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("epoch %d ends as %d at %d, error %v", before, epoch, end, err)
	}
	broken.Store(false)
	if _, _, err := p.EndOffsetForEpoch(before); err != nil {
		t.Errorf("the disk can be read again: %v", err)
	}
}

// A partition that nobody wrote to has no log, and can be asked everything all the same.
func TestPartitionNeverWrittenTo(t *testing.T) {
	c := newCluster(t)
	c.create("orders", 1, nil)
	p := c.partition("orders", 0)
	if l, err := p.OpenLog(); l != nil || err != nil {
		t.Fatalf("%v %v", l, err)
	}
	if p.HighWatermark() != 0 || p.LogEndOffset() != 0 || p.LogStartOffset() != 0 || p.SizeBytes() != 0 || p.EpochAt(0) != 1 {
		t.Fatal("an empty log begins and ends at 0")
	}
	if _, low, err := p.DeleteRecords(-1); low != 0 || err != nil {
		t.Fatalf("%d %v", low, err)
	}
}

func TestDeletedTopicIsGoneAndItsSuccessorIsEmpty(t *testing.T) {
	c := newCluster(t)
	id := c.create("orders", 1, nil)
	old := c.partition("orders", 0)
	c.append(old, "x")
	w := NewWaiter()
	if !old.AwaitOffset(99, 1, w) {
		t.Fatal("offset 99 is far away")
	}
	var watch Watch
	reader := NewWaiter()
	reader.Reset(1)
	old.AwaitBytes(&watch, reader)
	c.edit(func(e *image.Edit) error { return e.DeleteTopic(id) })
	<-w.C
	<-reader.C
	old.ForgetBytes(&watch)
	if _, err := old.Append([]log.Entry{entry(t, "y")}, 1, log.OriginClient, AnyEpoch); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("append to a deleted partition: %v", err)
	}
	if old.AwaitOffset(99, 1, w) {
		t.Fatal("nobody may wait for a deleted partition")
	}
	c.create("orders", 1, nil)
	p := c.partition("orders", 0)
	if p.LogEndOffset() != 0 || !old.Topic.Removed() || p.Topic.Removed() {
		t.Fatal("the new topic is another one")
	}
	if offset := c.append(p, "z"); offset != 0 {
		t.Fatalf("offset %d", offset)
	}
	c.stop()
	c.start()
	if p := c.partition("orders", 0); p.LogEndOffset() != 1 {
		t.Fatalf("end %d after a restart", p.LogEndOffset())
	}
}

// A topic deleted while the broker was away leaves no directory behind; but an image without any topic proves nothing.
func TestStrayPartitions(t *testing.T) {
	c := newCluster(t)
	id := c.create("gone", 1, nil)
	c.create("kept", 1, nil)
	c.append(c.partition("gone", 0), "x")
	c.append(c.partition("kept", 0), "x")
	whole := c.image
	c.stop()
	c.image = image.Empty()
	c.start()
	if n := len(c.dirs[0].Partitions()); n != 2 {
		t.Fatalf("%d partitions left by an empty image, want 2", n)
	}
	c.stop()
	edit := whole.Edit(50)
	if err := edit.DeleteTopic(id); err != nil {
		t.Fatal(err)
	}
	c.image, _ = edit.Done()
	c.start()
	if found := c.dirs[0].Partitions(); len(found) != 1 || found[0].Topic != "kept" {
		t.Fatalf("%v", found)
	}
	if p := c.partition("kept", 0); p.LogEndOffset() != 1 {
		t.Fatal("the kept topic lost its record")
	}
}

func TestSettingsFollowTheImage(t *testing.T) {
	c := newCluster(t)
	c.create("orders", 1, map[string]string{"max.message.bytes": "5000"})
	p := c.partition("orders", 0)
	c.append(p, "x")
	if got := p.Topic.Settings().Rules.MaxMessageBytes; got != 5000 {
		t.Fatalf("max.message.bytes %d", got)
	}
	set := func(resource config.Resource, name, value string) {
		c.edit(func(e *image.Edit) error { return e.SetConfig(resource, map[string]*string{name: &value}) })
	}
	set(config.Resource{Type: config.TopicResource, Name: "orders"}, "retention.ms", "1234")
	if got := p.Log().Config().RetentionMillis; got != 1234 {
		t.Fatalf("retention.ms of the log is %d", got)
	}
	set(config.Resource{Type: config.BrokerResource}, "log.retention.bytes", "777")
	if got := p.Log().Config().RetentionBytes; got != 777 {
		t.Fatalf("retention.bytes of the log is %d after the cluster's default changed", got)
	}
	if p.Topic.Settings().AckFromMemory {
		t.Fatal("the default is an ack from disk")
	}
	set(config.Resource{Type: config.TopicResource, Name: "orders"}, "write.caching", "true")
	if !p.Topic.Settings().AckFromMemory {
		t.Fatal("write.caching=true is an ack from memory")
	}
	set(config.Resource{Type: config.TopicResource, Name: "orders"}, "flush.messages", "1")
	if p.Topic.Settings().AckFromMemory {
		t.Fatal("flush.messages=1 asks for a flush before the ack")
	}
}

func TestPartitionsAreAdded(t *testing.T) {
	c := newCluster(t)
	id := c.create("orders", 1, nil)
	first := c.partition("orders", 0)
	c.edit(func(e *image.Edit) error {
		return e.AddPartitions(id, 1, []*image.Partition{{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}})
	})
	if c.partition("orders", 0) != first || c.partition("orders", 1) == nil {
		t.Fatal("a new partition joins those that were there")
	}
}

func TestMinInSyncReplicas(t *testing.T) {
	c := newCluster(t)
	c.edit(func(e *image.Edit) error {
		return e.CreateTopic(image.NewTopic(image.TopicID{7}, security.DefaultTenant, "wide", false, map[string]string{"min.insync.replicas": "2"},
			[]*image.Partition{{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1}}))
	})
	p := c.partition("wide", 0)
	entries := []log.Entry{entry(t, "x")}
	if _, err := p.Append(entries, AcksAll, log.OriginClient, AnyEpoch); err != kerr.NotEnoughReplicas || entries[0].Err != kerr.NotEnoughReplicas {
		t.Fatalf("%v", err)
	}
	if _, err := p.Append(entries, 1, log.OriginClient, AnyEpoch); err != nil {
		t.Fatalf("acks=1 does not ask for it: %v", err)
	}
}

func TestDeleteRecords(t *testing.T) {
	c := newCluster(t)
	c.create("orders", 1, nil)
	c.create("compacted", 1, map[string]string{"cleanup.policy": "compact"})
	p := c.partition("orders", 0)
	for range 10 {
		c.append(p, "x")
	}
	for _, test := range []struct {
		offset, want int64
		err          error
	}{
		{4, 4, nil}, {2, 4, nil}, {11, -1, kerr.OffsetOutOfRange}, {-2, -1, kerr.OffsetOutOfRange}, {-1, 10, nil},
	} {
		if _, low, err := p.DeleteRecords(test.offset); low != test.want || err != test.err {
			t.Errorf("delete to %d: %d %v, want %d %v", test.offset, low, err, test.want, test.err)
		}
	}
	if _, _, err := c.partition("compacted", 0).DeleteRecords(0); err != kerr.PolicyViolation {
		t.Errorf("a compacted topic: %v", err)
	}
}

// The first failed fsync takes its directory offline: nothing in it is acknowledged any more, and who waits is told.
// Partitions of the other directory go on.
func TestFailedDirectoryTakesItsPartitionsOffline(t *testing.T) {
	var mu sync.Mutex
	broken := false
	faulty := vfs.NewFaulty(vfs.NewMemory(), func(op vfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if broken && (op.Kind == vfs.OpSync || op.Kind == vfs.OpSyncFS) {
			return syscall.EIO
		}
		return nil
	})
	c := newCluster(t, faulty, vfs.NewMemory())
	c.create("orders", 2, nil)
	for number := range int32(2) {
		c.append(c.partition("orders", number), "x")
	}
	bad, good := c.partition("orders", 0), c.partition("orders", 1)
	if bad.Log().Dir() == c.dirs[1] {
		bad, good = good, bad
	}
	mu.Lock()
	broken = true
	mu.Unlock()
	entries := []log.Entry{entry(t, "lost")}
	w := NewWaiter()
	if _, err := bad.Append(entries, AcksAll, log.OriginClient, AnyEpoch); err == nil && bad.AwaitOffset(2, 1, w) {
		select {
		case <-w.C:
		case <-time.After(10 * time.Second):
			t.Fatal("the waiter was forgotten")
		}
	}
	if bad.HighWatermark() != 1 {
		t.Fatalf("high watermark %d: what was not flushed counts as committed", bad.HighWatermark())
	}
	for deadline := time.Now().Add(10 * time.Second); bad.Err() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the partition is still online")
		}
	}
	if _, err := c.ByName(security.DefaultTenant, "orders", bad.Number); err != kerr.KafkaStorageError {
		t.Fatalf("%v", err)
	}
	c.append(good, "y")
	c.create("later", 2, nil)
	for number := range int32(2) { // both in the directory that works
		c.append(c.partition("later", number), "x")
	}
}

// With a directory missing at the start, its partitions are offline, not empty.
func TestMissingDirectory(t *testing.T) {
	c := newCluster(t, vfs.NewMemory(), vfs.NewMemory())
	c.create("orders", 2, nil)
	for number := range int32(2) {
		c.append(c.partition("orders", number), "x")
	}
	c.stop()
	c.fs[0], c.missing = nil, true
	c.start()
	online := 0
	for number := range int32(2) {
		switch _, err := c.ByName(security.DefaultTenant, "orders", number); err {
		case nil:
			online++
		case kerr.KafkaStorageError:
		default:
			t.Errorf("partition %d: %v", number, err)
		}
	}
	if online != 1 {
		t.Fatalf("%d partitions online, want 1", online)
	}
	c.create("new", 1, nil)
	c.append(c.partition("new", 0), "x")
}

// Whatever is appended by whom, the high watermark only rises, and without write caching stays within what is on disk.
func TestHighWatermarkUnderConcurrentAppends(t *testing.T) {
	for _, caching := range []string{"false", "true"} {
		t.Run("write.caching="+caching, func(t *testing.T) {
			c := newCluster(t)
			c.create("orders", 1, map[string]string{"write.caching": caching})
			p := c.partition("orders", 0)
			c.append(p, "first")
			stop := make(chan struct{})
			var observer, writers sync.WaitGroup
			observer.Go(func() {
				last := int64(0)
				for {
					highWatermark := p.HighWatermark()
					flushed, end := p.Log().FlushedOffset(), p.LogEndOffset()
					if highWatermark < last || highWatermark > end || caching == "false" && highWatermark > flushed {
						t.Errorf("high watermark %d after %d, flushed %d, end %d", highWatermark, last, flushed, end)
						return
					}
					last = highWatermark
					select {
					case <-stop:
						return
					default:
					}
				}
			})
			for seed := range uint64(4) {
				writers.Go(func() {
					rng := rand.New(rand.NewPCG(seed, 0))
					w := NewWaiter()
					for range 100 {
						var entries []log.Entry
						for range 1 + rng.IntN(3) {
							entries = append(entries, entry(t, "x"))
						}
						if _, err := p.Append(entries, AcksAll, log.OriginClient, AnyEpoch); err != nil {
							t.Error(err)
							return
						}
						last := entries[len(entries)-1].LastOffset
						w.Reset(0)
						if p.AwaitOffset(last+1, 1, w) {
							<-w.C
						}
						if p.HighWatermark() <= last {
							t.Error("woken before the record is committed")
						}
					}
				})
			}
			writers.Wait()
			close(stop)
			observer.Wait()
			if p.HighWatermark() != p.LogEndOffset() || p.Log().HighWatermark() != p.HighWatermark() {
				t.Errorf("high watermark %d, log's %d, end %d", p.HighWatermark(), p.Log().HighWatermark(), p.LogEndOffset())
			}
		})
	}
}

// A watch hears of every byte that becomes readable, and no longer once it left.
func TestWatchesCountBytes(t *testing.T) {
	c := newCluster(t)
	c.create("orders", 2, map[string]string{"write.caching": "true"})
	size := int64(len(entry(t, "x").Batch))
	w, other := NewWaiter(), NewWaiter()
	w.Reset(3 * size)
	other.Reset(1)
	watches := make([]Watch, 3)
	c.partition("orders", 0).AwaitBytes(&watches[0], w)
	c.partition("orders", 1).AwaitBytes(&watches[1], w)
	c.partition("orders", 0).AwaitBytes(&watches[2], other)
	c.partition("orders", 0).ForgetBytes(&watches[2])
	c.partition("orders", 0).ForgetBytes(&watches[2])
	c.append(c.partition("orders", 0), "x")
	c.append(c.partition("orders", 1), "x")
	select {
	case <-w.C:
		t.Fatal("two batches are not three")
	case <-other.C:
		t.Fatal("a watch that left was told")
	default:
	}
	c.append(c.partition("orders", 1), "x")
	select {
	case <-w.C:
	default:
		t.Fatal("three batches have come")
	}
}

func TestForgottenOffsetsAreNotSignalled(t *testing.T) {
	c := newCluster(t)
	c.create("orders", 1, map[string]string{"write.caching": "true"})
	p := c.partition("orders", 0)
	w := NewWaiter()
	p.AwaitOffset(1, 1, w)
	p.ForgetOffset(w)
	w.Reset(0)
	c.append(p, "x")
	select {
	case <-w.C:
		t.Fatal("signalled for what was forgotten")
	default:
	}
}

func TestRetentionSweep(t *testing.T) {
	c := newCluster(t)
	c.create("orders", 1, map[string]string{"retention.bytes": "100", "segment.bytes": "1048576"})
	p := c.partition("orders", 0)
	for range 4 {
		c.append(p, string(make([]byte, 600_000)))
	}
	c.applyRetention()
	if p.LogStartOffset() == 0 || p.LogStartOffset() >= 4 {
		t.Fatalf("log start offset %d", p.LogStartOffset())
	}
}

func TestCompactedTopicIsCompacted(t *testing.T) {
	c := newCluster(t)
	c.create("state", 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576", "min.cleanable.dirty.ratio": "0.01"})
	p := c.partition("state", 0)
	for range 9 {
		b := record.NewBuilder(record.BuilderOptions{})
		b.Append(time.Now().UnixMilli(), []byte("the one key"), make([]byte, 400_000), nil)
		built, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		entries := []log.Entry{{Batch: built}}
		if _, err := p.Append(entries, AcksAll, log.OriginClient, AnyEpoch); err != nil {
			t.Fatal(err)
		}
		c.await(p, entries[0].LastOffset+1)
	}
	if err := c.dirs[0].Checkpoint(); err != nil { // only what a recovery will not look at is compacted
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); p.SizeBytes() > 5*400_000; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes for one key", p.SizeBytes())
		}
	}
	if p.LogEndOffset() != 9 {
		t.Fatalf("end %d", p.LogEndOffset())
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	c := newCluster(t)
	registry := prometheus.NewRegistry()
	newMetrics(registry, c.Manager)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := promlint.NewWithMetricFamilies(families).Lint(); err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
}
