package log

import (
	"maps"
	"slices"
	"testing"
)

func TestCheckpointsAreKafkasText(t *testing.T) {
	offsets := map[string]int64{"orders-3": 42, "a-b-c-0": 7}
	p := encodeOffsetCheckpoint(offsets)
	if want := "0\n2\na-b-c 0 7\norders 3 42\n"; string(p) != want {
		t.Fatalf("%q", p)
	}
	got, err := decodeOffsetCheckpoint(p)
	if err != nil || !maps.Equal(got, offsets) {
		t.Fatal(got, err)
	}
	epochs := []epochEntry{{0, 0}, {5, 10}}
	p = encodeEpochs(epochs)
	if want := "0\n2\n0 0\n5 10\n"; string(p) != want {
		t.Fatalf("%q", p)
	}
	gotEpochs, err := decodeEpochs(p)
	if err != nil || !slices.Equal(gotEpochs, epochs) {
		t.Fatal(gotEpochs, err)
	}
	for _, bad := range []string{"", "0\n", "1\n0\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na x 1\n", "0\n1\na -1 1\n"} {
		if _, err := decodeOffsetCheckpoint([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for _, bad := range []string{"0\n1\n5\n", "0\n2\n5 10\n5 11\n", "0\n2\n5 10\n6 10\n", "0\n1\n-1 0\n"} {
		if _, err := decodeEpochs([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestLeaderEpochAnswersAreKafkas(t *testing.T) {
	var c epochCache
	if epoch, end := c.endOffsetFor(3, 100); epoch != -1 || end != -1 {
		t.Fatal("an empty cache knows something")
	}
	c.assign(2, 10)
	c.assign(4, 20)
	c.assign(4, 25) // the same epoch goes on
	for _, test := range []struct {
		ask   int32
		epoch int32
		end   int64
	}{{-1, -1, -1}, {0, 0, 10}, {2, 2, 20}, {3, 2, 20}, {4, 4, 100}, {5, -1, -1}} {
		if epoch, end := c.endOffsetFor(test.ask, 100); epoch != test.epoch || end != test.end {
			t.Errorf("epoch %d: %d, %d", test.ask, epoch, end)
		}
	}
	c.assign(5, 15) // contradicts 4 at 20
	if want := []epochEntry{{2, 10}, {5, 15}}; !slices.Equal(c.entries, want) {
		t.Fatalf("%v", c.entries)
	}
	c.truncateFromStart(12)
	if want := []epochEntry{{2, 12}, {5, 15}}; !slices.Equal(c.entries, want) {
		t.Fatalf("%v", c.entries)
	}
	c.truncateFromStart(30)
	if want := []epochEntry{{5, 30}}; !slices.Equal(c.entries, want) {
		t.Fatalf("%v", c.entries)
	}
	c.truncateFromEnd(30)
	if len(c.entries) != 0 {
		t.Fatalf("%v", c.entries)
	}
}

func TestOnlyPartitionDirectoriesAreTakenForPartitions(t *testing.T) {
	for name, want := range map[string]bool{
		"orders-3": true, "a-b-0": true, "__consumer_offsets-49": true, "orders": false, "-3": false, "orders-": false,
		"orders-03": false, "orders--1": true, "orders-x": false, "orders-3.0a1b-delete": false, "orders-99999999999": false,
	} {
		if topic, partition, ok := parsePartitionDir(name); ok != want || ok && (TopicPartition{Topic: topic, Partition: partition}).String() != name {
			t.Errorf("%s: %q %d %v", name, topic, partition, ok)
		}
	}
}

func FuzzDecodeText(f *testing.F) {
	f.Add([]byte("0\n2\na-b-c 0 7\norders 3 42\n"))
	f.Add([]byte("0\n2\n0 0\n5 10\n"))
	f.Add([]byte("version=1\ncluster.id=x\nnode.id=1\ndirectory.id=AQIDBAUGAAAAAAAAAAAAAA\n"))
	f.Add([]byte("version: 0\ntopic_id: AQIDBAUGAAAAAAAAAAAAAA\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if offsets, err := decodeOffsetCheckpoint(p); err == nil {
			again, err := decodeOffsetCheckpoint(encodeOffsetCheckpoint(offsets))
			if err != nil || !maps.Equal(again, offsets) {
				t.Fatalf("%v, was %v: %v", again, offsets, err)
			}
		}
		if epochs, err := decodeEpochs(p); err == nil {
			if again, err := decodeEpochs(encodeEpochs(epochs)); err != nil || !slices.Equal(again, epochs) {
				t.Fatalf("%v, was %v: %v", again, epochs, err)
			}
		}
		if m, err := decodeMeta(p); err == nil {
			if again, err := decodeMeta(encodeMeta(m)); err != nil || again.nodeID != m.nodeID {
				t.Fatalf("%v, was %v: %v", again, m, err)
			}
		}
		if id, err := decodePartitionMetadata(p); err == nil {
			if again, err := decodePartitionMetadata(encodePartitionMetadata(id)); err != nil || again != id {
				t.Fatalf("%v, was %v: %v", again, id, err)
			}
		}
	})
}
