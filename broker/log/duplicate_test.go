package log

import (
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// A producer that sends a batch once more is told the time of the original, before and after a restart.
func TestADuplicateIsAnsweredWithTheOriginalsTime(t *testing.T) {
	for _, tc := range []struct {
		name          string
		logAppendTime bool
		want          int64
	}{
		{"log append time", true, 5000},
		{"create time", false, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			send := func(l *Log, nowMillis int64) Entry {
				t.Helper()
				b := batch(t, record.BuilderOptions{HasProducer: true, ProducerID: 7}, 1000, "once")
				if tc.logAppendTime {
					b.SetLogAppendTime(nowMillis)
				}
				entries := []Entry{{Batch: b}}
				if _, err := l.Append(entries, 0, OriginClient); err != nil || entries[0].Err != nil {
					t.Fatal(err, entries[0].Err)
				}
				return entries[0]
			}
			fs := vfs.NewMemory()
			l := mustOpen(t, mustOpenDir(t, fs), DefaultConfig())
			if send(l, 5000).Duplicate {
				t.Fatal("the original is taken for a duplicate")
			}
			if e := send(l, 6000); !e.Duplicate || e.LogAppendTimeMillis != tc.want {
				t.Errorf("answered %+v, want a duplicate with time %d", e, tc.want)
			}
			if err := l.Flush(); err != nil {
				t.Fatal(err)
			}
			l = mustOpen(t, mustOpenDir(t, fs.CrashClone(testRand(1))), DefaultConfig())
			if e := send(l, 7000); !e.Duplicate || e.LogAppendTimeMillis != tc.want {
				t.Errorf("after a restart answered %+v, want a duplicate with time %d", e, tc.want)
			}
		})
	}
}

// Redpanda #5355, #5356: a batch came again when retention had taken its original, and was appended once more. Here it is
// answered with the offset that it had, before and after a crash.
func TestADuplicateIsKnownThoughItsSegmentIsGone(t *testing.T) {
	now := time.Now().UnixMilli() // a producer that was last heard of in 1970 is forgotten at a start
	fs := vfs.NewMemory()
	l := mustOpen(t, mustOpenDir(t, fs), smallConfig())
	send := func(l *Log) Entry {
		t.Helper()
		entries := []Entry{{Batch: batch(t, record.BuilderOptions{HasProducer: true, ProducerID: 7}, now, "once")}}
		if _, err := l.Append(entries, 0, OriginClient); err != nil || entries[0].Err != nil {
			t.Fatal(err, entries[0].Err)
		}
		return entries[0]
	}
	appendValues(t, l, 0, "before")
	original := send(l)
	for range 30 {
		appendValues(t, l, 0, "after, until the first segment is full and retention takes it")
	}
	if err := l.IncrementLogStartOffset(l.LogEndOffset()); err != nil {
		t.Fatal(err)
	}
	l.SetHighWatermark(l.LogEndOffset())
	if n, _, err := l.ApplyRetention(l.LogEndOffset()); err != nil || n == 0 {
		t.Fatalf("retention took %d segments: %v", n, err)
	}
	if e := send(l); !e.Duplicate || e.BaseOffset != original.BaseOffset {
		t.Errorf("answered %+v, want a duplicate of offset %d", e, original.BaseOffset)
	}
	if err := l.Flush(); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(8) {
		l = mustOpen(t, mustOpenDir(t, fs.CrashClone(testRand(seed))), smallConfig())
		if e := send(l); !e.Duplicate || e.BaseOffset != original.BaseOffset {
			t.Errorf("after crash %d answered %+v, want a duplicate of offset %d", seed, e, original.BaseOffset)
		}
	}
}
