package log

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// script is a life of one log: appends by an idempotent producer and a plain one, flushes, rolls, checkpoints,
// retention, DeleteRecords, truncation, a clean stop and a start. It records what was promised.
type script struct {
	t        testing.TB
	fs       vfs.FS
	d        *Dir
	l        *Log
	cfg      *Config
	mu       sync.Mutex       // the crash comes from the flusher, too
	epochs   map[int64]int32  // guarded by mu: of the same offsets
	values   map[int64]string // guarded by mu: appended and not truncated, by offset
	promised atomic.Int64     // everything below was reported as flushed
	// flushedCap is where the last truncation cut: a flush that was under way may report more. Guarded by mu.
	flushedCap int64
	lowest     int64 // log start offset asked for
	sequence   int32
	wrong      string // what should not have happened
}

func newScript(t testing.TB, fs vfs.FS) *script {
	cfg := smallConfig()
	cfg.SegmentBytes = 700
	return &script{t: t, fs: fs, cfg: cfg, values: map[int64]string{}, epochs: map[int64]int32{}, flushedCap: math.MaxInt64}
}

func (s *script) open() error {
	d, err := OpenDir(testDirConfig(s.fs))
	if err != nil {
		return err
	}
	s.d = d
	s.l, err = d.Open(testTopic, s.cfg, Hooks{Flushed: func(end int64) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.promised.Store(max(min(end, s.flushedCap), s.promised.Load()))
	}})
	return err
}

// flush waits; flushes that began before the last truncation are over then.
func (s *script) flush() error {
	err := s.l.Flush()
	s.mu.Lock()
	s.flushedCap = math.MaxInt64
	s.mu.Unlock()
	return err
}

func (s *script) append(epoch int32, n int) error {
	for range n {
		opts := record.BuilderOptions{HasProducer: true, ProducerID: 7, BaseSequence: s.sequence}
		value := fmt.Sprintf("value-%d", s.sequence)
		entries := []Entry{{Batch: batch(s.t, opts, time.Now().UnixMilli(), value)}}
		if _, err := s.l.Append(entries, epoch, OriginClient); err != nil {
			return err
		}
		if entries[0].Err != nil {
			s.wrong = entries[0].Err.Error()
			return entries[0].Err
		}
		s.mu.Lock()
		s.values[entries[0].BaseOffset], s.epochs[entries[0].BaseOffset] = value, epoch
		s.mu.Unlock()
		s.sequence++
	}
	return nil
}

func (s *script) run() error {
	steps := []func() error{
		s.open,
		func() error { return s.append(0, 3) },
		s.flush,
		func() error { return s.append(0, 10) },
		s.flush,
		func() error { s.l.SetHighWatermark(s.l.FlushedOffset()); return s.d.Checkpoint() },
		func() error { return s.append(2, 12) },
		s.flush,
		func() error { s.mu.Lock(); s.lowest = 8; s.mu.Unlock(); return s.l.IncrementLogStartOffset(8) },
		func() error { _, _, err := s.l.ApplyRetention(20); return err },
		func() error { return s.d.Checkpoint() },
		func() error { return s.append(3, 5) },
		func() error { return s.truncate(22) },
		func() error { return s.append(4, 6) },
		s.flush,
		func() error { return s.append(4, 1) },
		s.flush,
		func() error { return s.d.Close() },
		s.open,
		func() error { return s.append(5, 6) },
		s.flush,
		func() error { return s.l.Roll() },
		func() error { return s.append(5, 2) },
		s.flush,
		func() error { return s.d.Checkpoint() },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// truncate is what a follower does with records that were never acknowledged.
func (s *script) truncate(offset int64) error {
	s.mu.Lock()
	promised, values, sequence := s.promised.Load(), maps.Clone(s.values), s.sequence
	s.promised.Store(min(promised, offset))
	s.flushedCap = offset
	for at := range s.values {
		if at >= offset {
			delete(s.values, at)
			s.sequence = min(s.sequence, int32(at))
		}
	}
	s.mu.Unlock()
	err := s.l.TruncateTo(offset)
	if errors.Is(err, ErrNoSpace) { // nothing was done
		s.mu.Lock()
		s.promised.Store(promised)
		s.values, s.sequence = values, sequence
		s.mu.Unlock()
	}
	return err
}

// check opens what a crash left and holds it against the promises.
func (s *script) check(after vfs.FS, promised, lowest int64, values map[int64]string, epochs map[int64]int32) error {
	d, err := OpenDir(testDirConfig(after))
	if err != nil {
		return fmt.Errorf("open directory: %w", err)
	}
	defer d.Close()
	l, err := d.Open(testTopic, s.cfg, Hooks{})
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	if l.LogEndOffset() < promised {
		return fmt.Errorf("log ends at %d, flushed were %d", l.LogEndOffset(), promised)
	}
	if l.LogStartOffset() > lowest {
		return fmt.Errorf("log starts at %d, deleted was up to %d", l.LogStartOffset(), lowest)
	}
	next := l.LogStartOffset()
	for _, r := range readAll(s.t, l, next, 500) {
		offset, value, _ := strings.Cut(r, ":")
		if offset != fmt.Sprint(next) {
			return fmt.Errorf("offset %s follows %d", offset, next-1)
		}
		if want, known := values[next]; next < promised && (!known || want != value) {
			return fmt.Errorf("offset %d is %q, was %q", next, value, want)
		}
		if epoch, ok := l.EpochAt(next); next < promised && (!ok || epoch != epochs[next]) {
			return fmt.Errorf("offset %d has leader epoch %d, had %d", next, epoch, epochs[next])
		}
		next++
	}
	if next != l.LogEndOffset() {
		return fmt.Errorf("records end at %d, the log at %d", next, l.LogEndOffset())
	}
	return s.checkGoesOn(l)
}

// checkGoesOn appends once more: the producer's sequences are known as the log's last record says.
func (s *script) checkGoesOn(l *Log) error {
	end := l.LogEndOffset()
	producers := l.ActiveProducers()
	sequence := int32(0)
	if len(producers) == 1 {
		sequence = producers[0].LastSequence() + 1
	}
	if end > l.LogStartOffset() && (len(producers) != 1 || producers[0].LastOffset() != end-1) {
		return fmt.Errorf("producers %+v do not fit the end %d", producers, end)
	}
	for _, again := range []bool{false, true} {
		opts := record.BuilderOptions{HasProducer: true, ProducerID: 7, BaseSequence: sequence}
		entries := []Entry{{Batch: batch(s.t, opts, time.Now().UnixMilli(), "after")}}
		if _, err := l.Append(entries, 9, OriginClient); err != nil {
			return fmt.Errorf("append after the crash: %w", err)
		}
		if e := entries[0]; e.Err != nil || e.Duplicate != again || e.BaseOffset != end {
			return fmt.Errorf("append after the crash: %+v", e)
		}
	}
	return l.Flush()
}

func TestFlushedRecordsSurviveACrashAtEveryOperation(t *testing.T) {
	crashes := 0
	rng := testRand(42)
	memory := vfs.NewMemory()
	var s *script
	busy := false
	fs := vfs.NewFaulty(memory, func(op vfs.Op) error {
		if busy || s == nil || !op.Kind.Writes() {
			return nil
		}
		// What was promised before this operation must hold after a crash at it; what is being truncated is not.
		s.mu.Lock()
		promised, lowest, values, epochs := s.promised.Load(), s.lowest, maps.Clone(s.values), maps.Clone(s.epochs)
		s.mu.Unlock()
		for range 3 {
			crashes++
			if err := s.check(memory.CrashClone(rng), promised, lowest, values, epochs); err != nil {
				t.Fatalf("crash before operation %d, %s %s: %v", op.N, op.Kind, op.Name, err)
			}
		}
		if err := s.check(memory.KillClone(), promised, lowest, values, epochs); err != nil {
			t.Fatalf("kill before operation %d, %s %s: %v", op.N, op.Kind, op.Name, err)
		}
		return nil
	})
	s = newScript(t, fs)
	if err := s.run(); err != nil || s.wrong != "" {
		t.Fatal(err, s.wrong)
	}
	busy = true
	if err := s.d.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crashes", crashes)
}

func TestAFailureOfAnyOperationLosesNothingFlushed(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(fault.Error(), func(t *testing.T) {
			for n := int64(0); ; n++ {
				memory := vfs.NewMemory()
				hit := atomic.Bool{}
				var hitOp vfs.Op
				fs := vfs.NewFaulty(memory, func(op vfs.Op) error {
					if op.Kind.Writes() && op.N >= n && hit.CompareAndSwap(false, true) {
						hitOp = op
						return fault
					}
					return nil
				})
				s := newScript(t, fs)
				err := s.run()
				if s.d != nil {
					s.d.Close()
				}
				if !hit.Load() && err == nil {
					if n < 50 {
						t.Fatalf("only %d operations", n)
					}
					break
				}
				if hitOp.Kind == "" {
					continue // operation n only reads
				}
				if s.wrong != "" {
					t.Fatalf("operation %d, %s %s: %s", n, hitOp.Kind, hitOp.Name, s.wrong)
				}
				if s.l == nil {
					continue // OpenDir said so
				}
				promised := s.promised.Load()
				if err := s.check(memory.CrashClone(testRand(uint64(n))), promised, s.lowest, s.values, s.epochs); err != nil {
					t.Fatalf("operation %d, %s %s: %v", n, hitOp.Kind, hitOp.Name, err)
				}
				if err := s.check(memory.KillClone(), promised, s.lowest, s.values, s.epochs); err != nil {
					t.Fatalf("operation %d, %s %s, and a kill: %v", n, hitOp.Kind, hitOp.Name, err)
				}
			}
		})
	}
}
