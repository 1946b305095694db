package broker

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
	"github.com/millrace-io/millrace/security"
)

// startWith starts the only broker of a cluster, on two log directories.
func startWith(t *testing.T, directory, address string) *Broker {
	t.Helper()
	b, err := New(Config{
		NodeID: 1, Directory: directory, LogDirectories: []string{filepath.Join(directory, "a"), filepath.Join(directory, "b")},
		KafkaAddress: "127.0.0.1:0", HTTPAddress: "127.0.0.1:0", ShutdownGrace: 10 * time.Second,
		Cluster: Cluster{Address: address, InitialVoters: []Voter{{NodeID: 1, Address: address}}},
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	return b
}

// leads lists the partitions of a topic that have a leader.
func leads(t *testing.T, b *Broker, topic string) (led []int32) {
	t.Helper()
	for i, p := range b.metadata.Image().Topic(security.DefaultTenant, topic).Partitions() {
		if p.Leader >= 0 {
			led = append(led, i)
		}
	}
	return led
}

// A broker starts with an empty disk in place of one of its two. By the time it serves, the controller knows what lay there:
// that has no leader, since nobody else has it, until an operator gives up its records. Everything else is as it was.
func TestOneOfTwoDirectoriesIsEmpty(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	directory, address := t.TempDir(), harness.FreeAddress(t)
	const count = 6
	b := startWith(t, directory, address)
	stop := func() {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	admin := clientOf(t, b)
	if _, err := admin.CreateTopic(ctx, count, 1, nil, "orders"); err != nil {
		t.Fatal(err)
	}
	produceToEach(ctx, t, b, allOf(count))
	stop()
	onB, err := filepath.Glob(filepath.Join(directory, "b", "orders-*"))
	if err != nil || len(onB) == 0 || len(onB) == count {
		t.Fatalf("in the one directory are %v (%v), want some partitions in each", onB, err)
	}
	if err := os.RemoveAll(filepath.Join(directory, "b")); err != nil {
		t.Fatal(err)
	}

	b = startWith(t, directory, address)
	var kept, lost []int32
	for i := range int32(count) {
		if name := filepath.Join(directory, "b", "orders-"+string('0'+i)); slices.Contains(onB, name) {
			lost = append(lost, i)
		} else {
			kept = append(kept, i)
		}
	}
	if led := leads(t, b, "orders"); !slices.Equal(led, kept) {
		t.Errorf("led are %v, want %v, which are in the directory that is there", led, kept)
	}
	if own := b.metadata.Image().Broker(1); !slices.Equal(own.Directories, b.directoryIDs()) {
		t.Errorf("registered are %x, the broker has %x", own.Directories, b.directoryIDs())
	}
	produceToEach(ctx, t, b, kept)
	stop()

	b = startWith(t, directory, address) // and nothing of that changes with the next start
	if led := leads(t, b, "orders"); !slices.Equal(led, kept) {
		t.Errorf("after another start led are %v, want %v", led, kept)
	}
	admin = clientOf(t, b)
	of := kadm.TopicsSet{}
	of.Add("orders", lost...)
	if _, err := admin.ElectLeaders(ctx, kadm.ElectLiveReplica, of); err != nil {
		t.Fatal(err)
	}
	produceToEach(ctx, t, b, allOf(count))
	ends, err := admin.ListEndOffsets(ctx, "orders")
	if err != nil {
		t.Fatal(err)
	}
	for i := range int32(count) {
		want := int64(3)
		if slices.Contains(lost, i) {
			want = 1
		}
		if end, _ := ends.Lookup("orders", i); end.Err != nil || end.Offset != want {
			t.Errorf("partition %d ends at %d (%v), want %d", i, end.Offset, end.Err, want)
		}
	}
	stop()
}

func allOf(count int32) (all []int32) {
	for i := range count {
		all = append(all, i)
	}
	return all
}

func produceToEach(ctx context.Context, t *testing.T, b *Broker, partitions []int32) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.KafkaAddress()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, partition := range partitions {
		r := &kgo.Record{Topic: "orders", Partition: partition, Value: []byte(strings.Repeat("x", 100))}
		if err := client.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatalf("partition %d: %v", partition, err)
		}
	}
}
