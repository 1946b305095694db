package log

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// lentBatch is a batch with so many bytes in its one record.
func lentBatch(t testing.TB, sizeBytes int, fill byte) record.Batch {
	t.Helper()
	return batch(t, record.BuilderOptions{}, 1000, string(bytes.Repeat([]byte{fill}, sizeBytes)))
}

func largeConfig() *Config {
	cfg := DefaultConfig()
	cfg.RetentionMillis = -1
	return cfg
}

// readTail reads up to the end of the log and returns the bytes, wherever they were.
func readTail(t testing.TB, l *Log, offset int64) []byte {
	t.Helper()
	s, err := l.Read(offset, l.LogEndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Release()
	if s.File == nil {
		return slices.Clone(s.Bytes)
	}
	p := make([]byte, s.SizeBytes)
	if err := s.ReadFull(p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatIsLentIsReadFromMemoryUntilReclaim(t *testing.T) {
	for _, size := range []int{100, segment.InlineBytes + 1} {
		l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), largeConfig())
		if _, err := l.Append([]Entry{{Batch: lentBatch(t, 10, 'a')}}, 1, OriginClient); err != nil {
			t.Fatal(err)
		}
		entries := []Entry{{Batch: lentBatch(t, size, 'b')}, {Batch: lentBatch(t, size, 'c')}}
		if n, err := l.Lend(entries, 1, OriginClient); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		file, err := l.active().Acquire() // what memory says and the file does not tells one from the other
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte{'x'}, l.active().SizeBytes()-10); err != nil {
			t.Fatal(err)
		}
		l.active().Release()
		both := slices.Concat(entries[0].Batch, entries[1].Batch)
		if got := readTail(t, l, 1); !bytes.Equal(got, both) {
			t.Errorf("%d bytes: two lent batches are not what was appended", size)
		}
		if got := readTail(t, l, 2); !bytes.Equal(got, entries[1].Batch) {
			t.Errorf("%d bytes: the second lent batch is not what was appended", size)
		}
		if s, err := l.Read(2, 3, 1<<20, true); err != nil || s.Bound() != 3 || s.Position != int64(len(readTail(t, l, 0))-len(entries[1].Batch)) {
			t.Errorf("%d bytes: the second lent batch is at %d and below %d: %v", size, s.Position, s.Bound(), err)
		} else {
			s.Release()
		}
		if got := readTail(t, l, 0); bytes.HasSuffix(got, both) {
			t.Errorf("%d bytes: a read that begins before what is lent did not come from the file", size)
		}
		l.Reclaim()
		if got := readTail(t, l, 2); bytes.Equal(got, entries[1].Batch) || len(got) != len(entries[1].Batch) {
			t.Errorf("%d bytes: memory is read after Reclaim", size)
		}
	}
}

func TestASliceOutlivesWhatIsLent(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), largeConfig())
	b := lentBatch(t, 2*segment.InlineBytes, 'b')
	if _, err := l.Lend([]Entry{{Batch: b}}, 1, OriginClient); err != nil {
		t.Fatal(err)
	}
	s, err := l.Read(0, 1, 1<<20, true)
	if err != nil || !s.Lent() {
		t.Fatalf("lent %v: %v", s.Lent(), err)
	}
	defer s.Release()
	want := slices.Clone(b)
	l.Reclaim()
	clear(b)
	got := make([]byte, s.SizeBytes)
	if err := s.ReadFull(got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file was not read in place of memory that is gone: %v", err)
	}
}

func TestTruncationTakesBackWhatIsLent(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), largeConfig())
	if _, err := l.Lend([]Entry{{Batch: lentBatch(t, 100, 'a')}}, 1, OriginClient); err != nil {
		t.Fatal(err)
	}
	if err := l.TruncateTo(0); err != nil {
		t.Fatal(err)
	}
	other := lentBatch(t, 100, 'b')
	if _, err := l.Append([]Entry{{Batch: other}}, 2, OriginClient); err != nil {
		t.Fatal(err)
	}
	if got := readTail(t, l, 0); !bytes.Equal(got, other) {
		t.Error("a truncated batch is read")
	}
}

func TestARollLendsWhatWasWrittenLast(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), smallConfig())
	entries := make([]Entry, 7)
	for i := range entries {
		entries[i].Batch = lentBatch(t, 300, byte('a'+i))
	}
	if n, err := l.Lend(entries, 1, OriginClient); n != len(entries) || err != nil {
		t.Fatal(n, err)
	}
	for i := range entries {
		got := readTail(t, l, int64(i))
		if !bytes.HasPrefix(got, entries[i].Batch) {
			t.Errorf("batch %d is not read as it was appended", i)
		}
	}
	l.Reclaim()
}

// Readers at the end of the log never see memory that its owner has again.
func TestReadersWhileMemoryIsLentAndTakenBack(t *testing.T) {
	l := mustOpen(t, mustOpenDir(t, vfs.NewMemory()), largeConfig())
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for next := int64(0); ; {
				select {
				case <-done:
					return
				default:
				}
				end := l.LogEndOffset()
				if next == end {
					next = max(0, end-2)
				}
				if next == end {
					continue
				}
				b, _, err := record.Split(readTail(t, l, next))
				if err == nil {
					err = b.VerifyCRC()
				}
				if err != nil || b.BaseOffset() != next {
					t.Errorf("batch %d: %v", next, err)
					return
				}
				next = b.NextOffset()
			}
		})
	}
	fresh := lentBatch(t, segment.InlineBytes, 'f')
	memory := make(record.Batch, len(fresh))
	entries := make([]Entry, 1)
	for range 500 {
		copy(memory, fresh)
		entries[0] = Entry{Batch: memory}
		if _, err := l.Lend(entries, 1, OriginClient); err != nil {
			t.Fatal(err)
		}
		l.Reclaim()
		clear(memory)
	}
	close(done)
	readers.Wait()
}
