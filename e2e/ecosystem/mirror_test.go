//go:build e2e

package ecosystem

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

const mirrorMaker = "org.apache.kafka.connect.mirror.MirrorMaker"

// MirrorMaker 2 from a real Apache Kafka, exactly once: data, partitions, settings and the offsets of a group arrive, while
// brokers of the target and MirrorMaker are killed.
func TestMirrorMakerMovesATopic(t *testing.T) {
	s := newSite(t)
	origin := harness.StartKafka(t, harness.KafkaConfig{})
	source, err := kgo.NewClient(kgo.SeedBrokers(origin.Address()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	admin := kadm.NewClient(source)
	retention := "98765000"
	if _, err := admin.CreateTopic(t.Context(), partitions, 1, map[string]*string{"retention.ms": &retention}, "rides"); err != nil {
		t.Fatal(err)
	}
	sent := 0
	send := func() {
		source.Produce(t.Context(), &kgo.Record{Topic: "rides", Partition: int32(sent % partitions), Value: fmt.Appendf(nil, "%d", sent/partitions)}, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Errorf("produce to Apache Kafka: %v", err)
			}
		})
		sent++
	}
	for range 4000 {
		send()
	}
	if err := source.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	committed := kadm.Offsets{}
	for p := range int32(partitions) {
		committed.AddOffset("rides", p, 500, -1)
	}
	if err := admin.CommitAllOffsets(t.Context(), "readers", committed); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "mm2.properties")
	writeProperties(t, file, mirrorSettings(origin.Address(), s.bootstrap(), harness.FreeAddress(t)))
	mirror := run(func() *harness.Process { return s.java("mirror", s.classpath, mirrorMaker, file) })
	harness.Await(t, "the topic is in the target", 2*time.Minute, func(ctx context.Context) error {
		topics, err := s.admin.ListTopics(ctx, "source.rides")
		if err == nil {
			err = topics.Error()
		}
		return err
	})
	killer := s.startKilling(peace, mirror)
	for end := time.Now().Add(load(t)); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		send()
	}
	killer.end()
	if err := source.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := s.read(map[string]int{"source.rides": sent}, mirror)["source.rides"]
	mustBeInStep(t, got, sent)
	mustHaveSetting(t, s, "source.rides", "retention.ms", retention)
	mustHaveOffsets(t, s, got, mirror)
	t.Logf("%d records, %d kills", sent, killer.kills)
	mirror.process.Terminate(60 * time.Second)
}

func mirrorSettings(source, target, rest string) map[string]string {
	settings := map[string]string{
		"clusters": "source, target", "source.bootstrap.servers": source, "target.bootstrap.servers": target,
		"source->target.enabled": "true", "source->target.topics": "rides", "source->target.groups": "readers", "target->source.enabled": "false",
		"target->source.emit.heartbeats.enabled": "false", "source->target.sync.group.offsets.enabled": "true", "tasks.max": "2",
		"replication.factor": "-1", "offset-syncs.topic.replication.factor": "1",
		"dedicated.mode.enable.internal.rest": "true", "listeners": "http://" + rest, "target.exactly.once.source.support": "enabled",
		"offset.lag.max": "10", "target.offset.flush.interval.ms": "500", "target.session.timeout.ms": "6000", "target.heartbeat.interval.ms": "1500",
		"target.scheduled.rebalance.max.delay.ms": "1000", "source.consumer.auto.offset.reset": "earliest",
	}
	for _, topic := range []string{"checkpoints.topic", "heartbeats.topic", "offset.storage", "status.storage", "config.storage"} {
		settings[topic+".replication.factor"] = "-1"
	}
	for _, what := range []string{"emit.checkpoints", "sync.group.offsets", "refresh.topics", "refresh.groups", "sync.topic.configs"} {
		settings[what+".interval.seconds"] = "2"
	}
	return settings
}

// mustBeInStep checks that each partition has the numbers 0, 1, 2 and on.
func mustBeInStep(t *testing.T, records []*kgo.Record, sent int) {
	t.Helper()
	next := map[int32]int{}
	for _, r := range records {
		if want := fmt.Sprint(next[r.Partition]); string(r.Value) != want {
			t.Fatalf("%s-%d at %d: record %s, want %s", r.Topic, r.Partition, r.Offset, r.Value, want)
		}
		next[r.Partition]++
	}
	if len(next) != partitions || len(records) != sent {
		t.Errorf("%d records in %d partitions, want %d in %d", len(records), len(next), sent, partitions)
	}
}

func mustHaveSetting(t *testing.T, s *site, topic, key, want string) {
	t.Helper()
	harness.Await(t, "the setting "+key+" of "+topic, time.Minute, func(ctx context.Context) error {
		described, err := s.admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		for _, config := range described[0].Configs {
			if config.Key == key && config.MaybeValue() == want {
				return nil
			}
		}
		return fmt.Errorf("not %s", want)
	})
}

// mustHaveOffsets checks that the group goes on in the target behind nothing that it has not read: record 500 of each
// partition, or somewhat before.
func mustHaveOffsets(t *testing.T, s *site, records []*kgo.Record, mirror *program) {
	t.Helper()
	next := map[int32]int64{} // offset of record 500
	for _, r := range records {
		if string(r.Value) == "500" {
			next[r.Partition] = r.Offset
		}
	}
	defer func() {
		if t.Failed() {
			t.Logf("the end of MirrorMaker's log:\n%s", mirror.process.Log(60))
		}
	}()
	harness.Await(t, "the offsets of the group", time.Minute, func(ctx context.Context) error {
		offsets, err := s.admin.FetchOffsets(ctx, "readers")
		if err != nil {
			return err
		}
		for p := range int32(partitions) {
			at, ok := offsets.Lookup("source.rides", p)
			if !ok || at.At <= 0 {
				return fmt.Errorf("partition %d has none: %+v", p, at)
			}
			if at.At > next[p] {
				t.Fatalf("partition %d: offset %d lies behind %d, where the group has read to", p, at.At, next[p])
			}
		}
		return nil
	})
}
