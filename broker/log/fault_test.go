package log

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// faults is a file system on which a kind of operation can be made to fail.
type faults struct {
	vfs.FS
	mu   sync.Mutex
	kind vfs.OpKind
	err  error
}

func newFaults(inner vfs.FS) *faults {
	f := &faults{}
	f.FS = vfs.NewFaulty(inner, func(op vfs.Op) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.err != nil && op.Kind == f.kind {
			return f.err
		}
		return nil
	})
	return f
}

func (f *faults) set(kind vfs.OpKind, err error) {
	f.mu.Lock()
	f.kind, f.err = kind, err
	f.mu.Unlock()
}

func TestAFullDiskRefusesAppendsUntilThereIsRoom(t *testing.T) {
	fs := newFaults(vfs.NewMemory())
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, numbered(0, 5)...)
	for _, fault := range []error{syscall.ENOSPC, vfs.ShortWrite(70, syscall.ENOSPC)} {
		fs.set(vfs.OpWrite, fault)
		for range 3 {
			entries := []Entry{{Batch: batch(t, record.BuilderOptions{HasProducer: true, ProducerID: 3}, 1, "refused")}, {Batch: batch(t, record.BuilderOptions{}, 1, "refused")}}
			n, err := l.Append(entries, 0, OriginClient)
			if n != 0 || !errors.Is(err, ErrNoSpace) || !errors.Is(entries[0].Err, kerr.KafkaStorageError) || entries[1].Err == nil {
				t.Fatalf("%d, %v, %+v", n, err, entries)
			}
		}
		if l.LogEndOffset() != 5 || d.Err() != nil || len(l.ActiveProducers()) != 0 {
			t.Fatalf("end %d, directory %v, producers %v", l.LogEndOffset(), d.Err(), l.ActiveProducers())
		}
		same(t, readAll(t, l, 0, 1000), expect(5))
	}
	fs.set("", nil)
	appendValues(t, l, 0, numbered(5, 60)...)
	same(t, readAll(t, l, 0, 1000), expect(60))
}

func TestTheFirstFailedSyncEndsTheDirectory(t *testing.T) {
	memory := vfs.NewMemory()
	fs := newFaults(memory)
	d := mustOpenDir(t, fs)
	var flushed atomic.Int64
	l, err := d.Open(testTopic, smallConfig(), Hooks{Flushed: func(end int64) { flushed.Store(end) }})
	if err != nil {
		t.Fatal(err)
	}
	otherConfig := testDirConfig(memory)
	otherConfig.Path = "/data/other"
	other, err := OpenDir(otherConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	appendValues(t, l, 0, numbered(0, 3)...)
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	appendValues(t, l, 0, "v3")
	fs.set(vfs.OpSync, syscall.EIO)
	if err := l.Flush(); !errors.Is(err, kerr.KafkaStorageError) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("flush: %v", err)
	}
	fs.set("", nil) // a second try would succeed, and lie
	select {
	case <-d.Failed():
	case <-time.After(time.Second):
		t.Fatal("not told")
	}
	entries := []Entry{{Batch: batch(t, record.BuilderOptions{}, 1, "late")}}
	if n, err := l.Append(entries, 0, OriginClient); n != 0 || !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("append: %d, %v", n, err)
	}
	if _, err := l.Read(0, 4, 100, true); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("read: %v", err)
	}
	if err := l.Flush(); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("flush: %v", err)
	}
	if flushed.Load() != 3 || l.FlushedOffset() != 3 {
		t.Fatalf("flushed %d, %d", flushed.Load(), l.FlushedOffset())
	}
	if _, err := d.Open(TopicPartition{Topic: "another"}, smallConfig(), Hooks{}); !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("open: %v", err)
	}
	appendValues(t, mustOpen(t, other, smallConfig()), 0, "lives on")
}

// A read that fails while the directory still counts as good is KAFKA_STORAGE_ERROR for who asked: clients try that again,
// and an unknown error they take for fatal.
func TestAFailedReadIsAStorageError(t *testing.T) {
	fs := newFaults(vfs.NewMemory())
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, numbered(0, 60)...)
	fs.set(vfs.OpRead, syscall.EIO)
	_, readErr := l.Read(0, 60, 100, true)
	_, _, timeErr := l.OffsetForTimestamp(0)
	_, _, maxErr := l.MaxTimestamp()
	for name, err := range map[string]error{"read": readErr, "time": timeErr, "largest time": maxErr} {
		if !errors.Is(err, kerr.KafkaStorageError) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fs.set("", nil)
	if d.Err() != nil || l.Err() != nil {
		t.Fatalf("offline: %v, %v", d.Err(), l.Err())
	}
	same(t, readAll(t, l, 0, 1000), expect(60))
}

// corrupt changes one byte of a file.
func corrupt(t *testing.T, fs vfs.FS, name string, position int64) {
	t.Helper()
	file, err := fs.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b := make([]byte, 1)
	if _, err := file.ReadAt(b, position); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := file.WriteAt(b, position); err != nil {
		t.Fatal(err)
	}
}

func TestATornTailIsCutAndCorruptionBelowTheRecoveryPointIsNot(t *testing.T) {
	const flushedTo, batchBytes = 20, 76 // one value of 2 digits is one batch of 76 bytes, of 1 digit 75
	tests := []struct {
		name     string
		damage   func(t *testing.T, fs vfs.FS, names []string)
		want     int64 // log end offset; -1: the partition is offline
		atOpen   bool  // offline at once, else when it is read
		readFrom int64
	}{
		{"byte in the last batch", func(t *testing.T, fs vfs.FS, names []string) {
			corrupt(t, fs, names[len(names)-1], 70)
		}, 0, false, 0}, // want is set below: the last segment's base
		{"magic below the recovery point", func(t *testing.T, fs vfs.FS, names []string) { corrupt(t, fs, names[0], 16) }, -1, false, 0},
		{"length below the recovery point", func(t *testing.T, fs vfs.FS, names []string) { corrupt(t, fs, names[0], 8) }, -1, false, 0},
		{"a segment below the recovery point is empty", func(t *testing.T, fs vfs.FS, names []string) {
			file, _ := fs.OpenFile(names[0], os.O_RDWR|os.O_TRUNC, 0)
			file.Close()
		}, -1, true, 0},
		{"everything is gone", func(t *testing.T, fs vfs.FS, names []string) {
			for _, name := range names {
				if err := fs.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}, -1, true, 0},
		{"indexes are gone", func(t *testing.T, fs vfs.FS, names []string) {
			for _, name := range names {
				fs.Remove(strings.TrimSuffix(name, ".log") + segment.IndexSuffix)
				fs.Remove(strings.TrimSuffix(name, ".log") + segment.TimeIndexSuffix)
			}
		}, 40, false, 0},
		{"indexes are garbage", func(t *testing.T, fs vfs.FS, names []string) {
			for _, name := range names[:len(names)-1] {
				for _, kind := range []string{segment.IndexSuffix, segment.TimeIndexSuffix} {
					segment.WriteFile(fs, strings.TrimSuffix(name, ".log")+kind, []byte(strings.Repeat("\x00\x00\x00\x02\x00\x00\x00\x11", 3)), false)
				}
			}
		}, 40, false, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fs := vfs.NewMemory()
			d := mustOpenDir(t, fs)
			l := mustOpen(t, d, smallConfig())
			appendValues(t, l, 0, numbered(0, flushedTo)...)
			if err := d.Checkpoint(); err != nil {
				t.Fatal(err)
			}
			appendValues(t, l, 0, numbered(flushedTo, 40)...)
			var names []string
			for _, s := range *l.segments.Load() {
				names = append(names, s.FileName(segment.LogSuffix))
			}
			lastBase := l.active().BaseOffset()
			if lastBase <= flushedTo || len(names) < 3 {
				t.Fatal("the script needs a segment behind the recovery point")
			}
			if err := fs.SyncFS("/"); err != nil {
				t.Fatal(err)
			}
			after := fs.CrashClone(testRand(3))
			slices.Sort(names)
			test.damage(t, after, names)
			if test.want == 0 {
				test.want = lastBase
			}
			d, err := OpenDir(testDirConfig(after))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			l, err = d.Open(testTopic, smallConfig(), Hooks{})
			if test.want >= 0 {
				if err != nil || l.LogEndOffset() != test.want {
					t.Fatalf("%v, end %d, want %d", err, l.LogEndOffset(), test.want)
				}
				same(t, readAll(t, l, 0, 1000), expect(int(test.want)))
				return
			}
			if err == nil && !test.atOpen {
				for offset := int64(0); offset < flushedTo && err == nil; offset++ {
					_, err = l.Read(offset, l.LogEndOffset(), 100, true)
				}
				if l.Err() == nil || l.LogEndOffset() != 40 {
					t.Fatalf("partition is not offline: %v, end %d", l.Err(), l.LogEndOffset())
				}
				if _, err := l.Append([]Entry{{Batch: batch(t, record.BuilderOptions{}, 1, "x")}}, 0, OriginClient); err == nil {
					t.Fatal("a corrupt log takes appends")
				}
			}
			var corruption *CorruptError
			if !errors.As(err, &corruption) || !errors.Is(err, kerr.KafkaStorageError) || !strings.Contains(corruption.File, "orders-3") {
				t.Fatalf("got %v", err)
			}
			if d.Err() != nil {
				t.Fatal("one corrupt partition took the directory along")
			}
		})
	}
}

func TestDirectoriesOfOthersAreRefused(t *testing.T) {
	fs := vfs.NewMemory()
	d := mustOpenDir(t, fs)
	if _, err := OpenDir(testDirConfig(fs)); !errors.Is(err, vfs.ErrLocked) {
		t.Fatalf("second opener: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*DirConfig){
		"belongs to cluster": func(c *DirConfig) { c.ClusterID = "other" },
		"belongs to node":    func(c *DirConfig) { c.NodeID = 2 },
	} {
		cfg := testDirConfig(fs)
		change(&cfg)
		if _, err := OpenDir(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	segment.WriteFile(fs, "/data/logs/meta.properties", []byte("version=2\ncluster.id=test-cluster\nnode.id=1\n"), true)
	if _, err := OpenDir(testDirConfig(fs)); err == nil || !strings.Contains(err.Error(), "newer format") {
		t.Errorf("newer format: %v", err)
	}
}
