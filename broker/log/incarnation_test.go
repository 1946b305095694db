package log

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/vfs"
)

// A bad batch behind the recovery point, with sound ones behind it: after kill -9 the bytes have changed and nothing is cut;
// after a power failure it is a torn tail, and so is a bad batch that is the last.
func TestATornTailIsToldFromCorruptionByTheIncarnation(t *testing.T) {
	const records = 40
	clone := map[string]func(*vfs.Memory) *vfs.Memory{
		"kill -9": (*vfs.Memory).KillClone,
		"power failure": func(m *vfs.Memory) *vfs.Memory {
			if err := m.SyncFS("/"); err != nil {
				t.Fatal(err)
			}
			return m.CrashClone(testRand(1))
		},
	}
	for _, tc := range []struct {
		name    string
		crash   string
		segment int // which one is damaged; -1: the last
		byteAt  int64
		corrupt bool
	}{
		{"records in the first segment", "kill -9", 0, 70, true},
		{"a length in the first segment", "kill -9", 0, 10, true},
		{"a base offset in the first segment", "kill -9", 0, 76, true},
		{"a batch of the last segment with others behind", "kill -9", -1, 70, true},
		{"records in the first segment", "power failure", 0, 70, false},
		{"a batch of the last segment with others behind", "power failure", -1, 70, false},
	} {
		t.Run(tc.name+", "+tc.crash, func(t *testing.T) {
			fs := vfs.NewMemory()
			l := mustOpen(t, mustOpenDir(t, fs), smallConfig())
			appendValues(t, l, 0, numbered(0, records)...)
			segments := *l.segments.Load()
			hurt := segments[(tc.segment+len(segments))%len(segments)]
			if hurt.NextOffset()-hurt.BaseOffset() < 2 {
				t.Fatal("the script needs a batch behind the damaged one")
			}
			after := clone[tc.crash](fs)
			name := hurt.FileName(segment.LogSuffix)
			corrupt(t, after, name, tc.byteAt)
			size := sizeOf(t, after, name)
			d := mustOpenDir(t, after)
			l, err := d.Open(testTopic, smallConfig(), Hooks{})
			if !tc.corrupt {
				if err != nil || l.LogEndOffset() >= records {
					t.Fatalf("%v, want a log that was cut", err)
				}
				return
			}
			var corruption *CorruptError
			if !errors.As(err, &corruption) || !errors.Is(err, kerr.KafkaStorageError) || !strings.Contains(err.Error(), "sound batch follows") {
				t.Fatalf("opened with %v, want corruption; end %d", err, l.LogEndOffset())
			}
			if now := sizeOf(t, after, name); now != size {
				t.Errorf("the segment had %d bytes and has %d", size, now)
			}
		})
	}
}

func sizeOf(t *testing.T, fs vfs.FS, name string) int64 {
	t.Helper()
	info, err := fs.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// What a power failure tore is still torn when the process that found it is killed before it opened the partition.
func TestAnIncarnationCountsOnceEveryLogWasRecovered(t *testing.T) {
	fs := vfs.NewMemory()
	l := mustOpen(t, mustOpenDir(t, fs), smallConfig())
	appendValues(t, l, 0, numbered(0, 40)...)
	if err := fs.SyncFS("/"); err != nil {
		t.Fatal(err)
	}
	fs = fs.CrashClone(testRand(1))
	corrupt(t, fs, (*l.segments.Load())[0].FileName(segment.LogSuffix), 70)
	d := mustOpenDir(t, fs)
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	fs = fs.KillClone()
	d = mustOpenDir(t, fs)
	if d.keptPages {
		t.Fatal("an incarnation was noted in which a log was not recovered")
	}
	l = mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, numbered(int(l.LogEndOffset()), 40)...)
	if err := d.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	if fs = fs.KillClone(); !mustOpenDir(t, fs).keptPages {
		t.Fatal("after a checkpoint with all logs open the incarnation counts")
	}
}

// A sync that failed may have lost pages although the machine and the mount live on.
func TestAFailedSyncEndsTheIncarnation(t *testing.T) {
	memory := vfs.NewMemory()
	fs := newFaults(memory)
	d := mustOpenDir(t, fs)
	l := mustOpen(t, d, smallConfig())
	appendValues(t, l, 0, "x")
	fs.set(vfs.OpSync, errors.New("input/output error"))
	if err := l.Flush(); err == nil {
		t.Fatal("the sync did not fail")
	}
	if mustOpenDir(t, memory.KillClone()).keptPages {
		t.Error("the incarnation counts after a failed sync")
	}
}
