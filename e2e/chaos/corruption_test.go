//go:build e2e

package chaos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// filled is a stopped broker with a log of several segments in each partition.
type filled struct {
	*harness.Millrace
	ledger *Ledger
	load   *load
	logs   string
}

func fill(t *testing.T, allowed ...*regexp.Regexp) *filled {
	t.Helper()
	f := &filled{ledger: NewLedger(), logs: t.TempDir()}
	f.Millrace = harness.StartMillrace(t, harness.MillraceConfig{Settings: map[string]string{"data.log_directories": f.logs}, Allowed: allowed})
	createTopic(t, f.Address(), "chaos", partitions, map[string]*string{"segment.bytes": kadm.StringPtr("1048576")})
	f.load = startLoad(t, f.Address(), loadConfig{topic: "chaos", sizeBytes: 400}, f.ledger)
	awaitAcknowledged(t, f.ledger, 20_000, 30*time.Second)
	return f
}

// segments lists the data files of a partition, oldest first.
func (f *filled) segments(t *testing.T, partition int) []string {
	t.Helper()
	names, err := filepath.Glob(fmt.Sprintf("%s/chaos-%d/*.log", f.logs, partition))
	if err != nil || len(names) < 2 {
		t.Fatalf("partition %d has segments %v (%v), want several", partition, names, err)
	}
	slices.Sort(names)
	return names
}

// A byte of a sealed segment has changed while the broker was down. Nothing may be cut: the partition is offline, its
// reads are refused, or the bytes are given as they lie on disk and the client finds that they are wrong. Other
// partitions work. (A changed base offset or leader epoch is found by nobody, as in Kafka: the checksum leaves them out.)
func TestBitRotIsNeverCut(t *testing.T) {
	const hurt = 1
	for _, tc := range []struct {
		name     string
		position int64 // in the second batch of the first segment
		logged   bool  // the broker itself must find it and name file and place
	}{
		{"in the length of a batch", 8, true},
		{"in the magic of a batch", 16, false},
		{"in the records of a batch", 90, false},
	} {
		for _, stop := range []string{"clean stop", "kill -9"} {
			t.Run(tc.name+" after "+stop, func(t *testing.T) {
				f := fill(t, regexp.MustCompile(`its log is corrupt|partition offline`))
				f.load.stop(t)
				ends := endOffsets(t, f.Address())
				f.Stop() // the recovery point is the end
				if stop == "kill -9" {
					f.Restart()
					f.Kill()
				}
				name := f.segments(t, hurt)[0]
				size := batchSize(t, name)
				if err := flipByte(name, size+tc.position); err != nil {
					t.Fatal(err)
				}
				f.Restart()
				reads, err := readWithin(t, f.Address(), hurt, 5*time.Second)
				if err == nil {
					t.Errorf("%d records of the hurt partition were read without an error", len(reads))
				}
				if got := endOffsets(t, f.Address()); !offlineOrEqual(got, ends) {
					t.Errorf("end offsets are %v now and were %v: something was cut", got, ends)
				}
				if info, err := os.Stat(name); err != nil || info.Size() < size+tc.position {
					t.Errorf("the hurt segment was cut: %v %v", info, err)
				}
				if tc.logged && !regexp.MustCompile(`its log is corrupt.* file=`+regexp.QuoteMeta(name)+` position=\d+`).MatchString(f.Log()) {
					t.Errorf("the log does not name the file and the place; the client was told %v", err)
				}
				for partition := range int32(partitions) {
					if partition == hurt {
						continue
					}
					got, err := readWithin(t, f.Address(), partition, 10*time.Second)
					if err != nil || int64(len(got)) != ends[partition] {
						t.Errorf("of partition %d, which is well, %d of %d records were read: %v", partition, len(got), ends[partition], err)
					}
				}
			})
		}
	}
}

// A byte has changed while the broker was down after kill -9, in data that was flushed and not yet checkpointed. Sound
// batches follow, and nothing was lost since they were written: nothing may be cut. (Without the witness of that, on Linux
// before 6.8, it is a torn tail.)
func TestBitRotBehindTheCheckpointIsNotCutAfterAKill(t *testing.T) {
	const hurt = 1
	f := fill(t, regexp.MustCompile(`its log is corrupt|partition offline|log cannot be opened`))
	f.Kill()
	f.load.abandon()
	_, err := os.Stat(f.logs + "/.incarnation")
	witness := err == nil
	name := f.segments(t, hurt)[0]
	if err := flipByte(name, batchSize(t, name)+90); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Restart()
	after, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	ends := endOffsets(t, f.Address())
	if cut := ends[hurt] != offline || after.Size() != before.Size(); cut == witness {
		t.Errorf("end offset %d, segment of %d bytes, %d before; a witness is there: %v", ends[hurt], after.Size(), before.Size(), witness)
	}
	if witness && !strings.Contains(f.Log(), "sound batch follows at byte") {
		t.Error("the log does not say why the partition is offline")
	}
	for partition := range int32(partitions) {
		if partition == hurt {
			continue
		}
		if _, err := readWithin(t, f.Address(), partition, 10*time.Second); err != nil {
			t.Errorf("partition %d, which is well: %v", partition, err)
		}
	}
}

// What a crash can leave behind the last acknowledged record is cut and logged; what was acknowledged stays, and the
// producers go on.
func TestTornTailIsCut(t *testing.T) {
	for _, tc := range []struct {
		name string
		tail func(batch []byte) []byte
	}{
		{"garbage", func([]byte) []byte { return bytes.Repeat([]byte{0xa5, 0x3c, 0x7e}, 211) }},
		{"zeros", func([]byte) []byte { return make([]byte, 4096) }},
		{"half a batch", func(b []byte) []byte { return b[:len(b)/2] }},
		{"a header alone", func(b []byte) []byte { return b[:61] }},
		{"three bytes", func(b []byte) []byte { return b[:3] }},
		{"a whole batch with a wrong checksum", func(b []byte) []byte {
			wrong := bytes.Clone(b)
			wrong[len(wrong)-1] ^= 1
			return wrong
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := fill(t)
			f.Kill()
			for partition := range partitions {
				names := f.segments(t, partition)
				if err := appendBytes(names[len(names)-1], tc.tail(firstBatch(t, names[0]))); err != nil {
					t.Fatal(err)
				}
			}
			f.Restart()
			if n := strings.Count(f.Log(), "unflushed tail was torn"); n < partitions {
				t.Errorf("%d of %d torn tails are in the log", n, partitions)
			}
			awaitAcknowledged(t, f.ledger, 1000, 20*time.Second)
			f.load.stop(t)
			judge(t, f.Address(), f.ledger)
		})
	}
}

// Every file that can be made anew from the data is made anew, whether it is missing or full of nonsense, while
// idempotent producers go on: nothing is lost or written twice.
func TestSideFilesAreMadeAnew(t *testing.T) {
	sideFiles := []string{"chaos-*/*.index", "chaos-*/*.timeindex", "chaos-*/*.snapshot", "chaos-*/leader-epoch-checkpoint",
		"recovery-point-offset-checkpoint", "log-start-offset-checkpoint", "replication-offset-checkpoint"}
	for _, stop := range []string{"clean stop", "kill -9"} {
		t.Run(stop, func(t *testing.T) {
			f := fill(t)
			cutSomeRecords(t, f.Address()) // else there is no log-start-offset-checkpoint
			damages := map[string]func(string) error{"removed": os.Remove, "garbled": garble, "empty": func(name string) error { return os.Truncate(name, 0) }}
			for _, pattern := range sideFiles {
				for _, damage := range slices.Sorted(maps.Keys(damages)) {
					awaitAcknowledged(t, f.ledger, 100, 20*time.Second)
					f.Stop() // writes all of them
					if stop == "kill -9" {
						f.Restart()
						awaitAcknowledged(t, f.ledger, 100, 20*time.Second)
						f.Kill()
					}
					names, err := filepath.Glob(f.logs + "/" + pattern)
					if err != nil || len(names) == 0 {
						t.Errorf("no file %s is there: %v", pattern, err)
					}
					for _, name := range names {
						if err := damages[damage](name); err != nil {
							t.Fatal(err)
						}
					}
					t.Logf("%d files %s %s", len(names), pattern, damage)
					f.Restart()
					t.Logf("ends %v", endOffsets(t, f.Address()))
				}
			}
			awaitAcknowledged(t, f.ledger, 1000, 20*time.Second)
			f.load.stop(t)
			judge(t, f.Address(), f.ledger)
			mustFindByTime(t, f.Address())
		})
	}
}

func cutSomeRecords(t *testing.T, address string) {
	t.Helper()
	createTopic(t, address, "cut", 1, nil)
	p := newProbe(t, address, "cut", nil, 0)
	for range 5 {
		mustProduce(t, p, 0)
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("cut", 0, 3, -1)
	deleted, err := kadm.NewClient(p.client).DeleteRecords(t.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mustFindByTime asks for the offset of a record's own timestamp, which goes through the time index. The answer is the
// first record that is as late: producers write at the same time, so that earlier ones may be.
func mustFindByTime(t *testing.T, address string) {
	t.Helper()
	const offset = 3000
	cl := newClient(t, address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"chaos": {0: kgo.NewOffset().AtStart()}}))
	defer cl.Close()
	var times []int64
	for len(times) <= offset {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatalf("read the first records: %v", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { times = append(times, r.Timestamp.UnixMilli()) })
	}
	want := slices.IndexFunc(times, func(at int64) bool { return at >= times[offset] })
	listed, err := kadm.NewClient(cl).ListOffsetsAfterMilli(t.Context(), times[offset], "chaos")
	if err != nil {
		t.Fatal(err)
	}
	found, _ := listed.Lookup("chaos", 0)
	if found.Err != nil || found.Offset != int64(want) || found.Timestamp != times[want] {
		t.Errorf("the time of offset %d is found at %+v, want %d (%d)", offset, found, want, times[want])
	}
}

func firstBatch(t *testing.T, name string) []byte {
	t.Helper()
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p[:12+binary.BigEndian.Uint32(p[8:])]
}

func batchSize(t *testing.T, name string) int64 { return int64(len(firstBatch(t, name))) }

func endOffsets(t *testing.T, address string) map[int32]int64 {
	t.Helper()
	cl := newClient(t, address)
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), "chaos")
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int32]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if ends[o.Partition] = o.Offset; o.Err != nil {
			ends[o.Partition] = offline
		}
	})
	return ends
}

const offline = -1 // an end offset that is refused

func offlineOrEqual(got, want map[int32]int64) bool {
	for partition, end := range want {
		if got[partition] != end && got[partition] != offline {
			return false
		}
	}
	return true
}

// readWithin reads one partition from its start to its end; an error is what the client was told, or that it was told
// nothing in time.
func readWithin(t *testing.T, address string, partition int32, limit time.Duration) (values []string, err error) {
	t.Helper()
	end := endOffsets(t, address)[partition]
	if end == offline {
		return nil, fmt.Errorf("partition %d is offline", partition)
	}
	deadline := time.Now().Add(limit)
	cl := newClient(t, address, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"chaos": {partition: kgo.NewOffset().AtStart()}}),
		kgo.KeepRetryableFetchErrors())
	defer cl.Close()
	for time.Now().Before(deadline) {
		fetches := cl.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			return values, err
		}
		last := int64(-1)
		fetches.EachRecord(func(r *kgo.Record) {
			values = append(values, string(r.Value))
			last = r.Offset
		})
		if last+1 >= end {
			return values, nil
		}
	}
	return values, fmt.Errorf("read %d of %d records within %v", len(values), end, limit)
}
