package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var logger = slog.New(slog.NewTextHandler(io.Discard, nil))

type bench struct {
	fs  vfs.FS
	dir *log.Dir
	log *log.Log
}

// filled is a log of several sealed segments.
func filled(t *testing.T) *bench {
	t.Helper()
	b := &bench{fs: vfs.NewMemory()}
	var err error
	b.dir, err = log.OpenDir(log.DirConfig{Path: "/logs", FS: b.fs, Clock: time.Now, Logger: logger, ClusterID: "c", NodeID: 1, CheckpointInterval: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.dir.Close() })
	cfg := log.DefaultConfig()
	cfg.SegmentBytes = 500
	if b.log, err = b.dir.Open(log.TopicPartition{TopicID: log.TopicID{1}, Topic: "t"}, cfg, log.Hooks{}); err != nil {
		t.Fatal(err)
	}
	for i := range 30 {
		builder := record.NewBuilder(record.BuilderOptions{})
		builder.Append(1000, nil, fmt.Appendf(nil, "value %02d", i), nil)
		batch, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.log.Append([]log.Entry{{Batch: batch}}, 0, log.OriginClient); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.dir.Checkpoint(); err != nil {
		t.Fatal(err)
	}
	return b
}

// flip changes one bit of a segment's file.
func (b *bench) flip(t *testing.T, s *segment.Segment, position int64) {
	t.Helper()
	f, err := b.fs.OpenFile(s.FileName(segment.LogSuffix), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p [1]byte
	if _, err := f.ReadAt(p[:], position); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 4
	if _, err := f.WriteAt(p[:], position); err != nil {
		t.Fatal(err)
	}
}

func scrubber(t *testing.T, b *bench, repair func(ctx context.Context, d Damage) error) *Scrubber {
	t.Helper()
	s, err := New(Config{Dirs: []*log.Dir{b.dir}, Logger: logger, Settings: Settings{BytesPerSecond: 1 << 30, Interval: time.Hour}, Repair: repair})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAFlippedBitIsFoundWhereverItIs(t *testing.T) {
	whole := filled(t)
	s := scrubber(t, whole, nil)
	if s.Pass(t.Context()); len(s.Damages()) != 0 {
		t.Fatalf("damages in a whole log: %+v", s.Damages())
	}
	size := whole.log.Sealed()[1].SizeBytes()
	for position := range size {
		b := filled(t)
		hurt := b.log.Sealed()[1]
		b.flip(t, hurt, position)
		s := scrubber(t, b, nil)
		s.Pass(t.Context())
		damages := s.Damages()
		// The checksum leaves the base offset out: one that still rises, and stays in the segment, may have been written.
		if within := position % (size / (hurt.NextOffset() - hurt.BaseOffset())); within == 7 {
			continue
		}
		if len(damages) != 1 || damages[0].Segment != hurt || b.log.Err() != nil {
			t.Fatalf("bit of byte %d: %+v, log %v", position, damages, b.log.Err())
		}
	}
}

func TestADamageIsForgottenOnceItIsRepaired(t *testing.T) {
	b := filled(t)
	hurt := b.log.Sealed()[2]
	var before []byte
	if p, err := segment.ReadFile(b.fs, hurt.FileName(segment.LogSuffix)); err != nil {
		t.Fatal(err)
	} else {
		before = append(before, p...)
	}
	b.flip(t, hurt, 70)
	unable := errors.New("nobody has it")
	var answer error
	s := scrubber(t, b, func(_ context.Context, d Damage) error {
		if answer != nil {
			return answer
		}
		return d.Log.Renew(d.Segment, func(renewed *segment.Segment) error {
			return d.Log.WriteCleaned(renewed, before, placed(t, before))
		})
	})
	answer = unable
	s.Pass(t.Context())
	if d := s.Damages(); len(d) != 1 || !errors.Is(d[0].Kept, unable) || d[0].Fault.Offset >= 70 {
		t.Fatalf("%+v", d)
	}
	answer = nil
	s.Pass(t.Context())
	if d := s.Damages(); len(d) != 0 {
		t.Fatalf("%+v after the repair", d)
	}
	if s.Pass(t.Context()); len(s.Damages()) != 0 || b.log.Holds(hurt) {
		t.Fatalf("%+v in another pass, the old segment is still there: %v", s.Damages(), b.log.Holds(hurt))
	}
	after, err := segment.ReadFile(b.fs, b.log.Sealed()[2].FileName(segment.LogSuffix))
	if err != nil || string(after) != string(before) {
		t.Fatalf("the repaired file is not what it was: %v", err)
	}
}

func placed(t *testing.T, p []byte) (all []segment.Placed) {
	t.Helper()
	for len(p) > 0 {
		b, rest, err := record.Split(p)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, segment.Placed{LastOffset: b.LastOffset(), MaxTimestampMillis: b.MaxTimestamp(), SizeBytes: len(b)})
		p = rest
	}
	return all
}

func TestNothingIsReadOnceScrubbingIsSwitchedOff(t *testing.T) {
	b := filled(t)
	b.flip(t, b.log.Sealed()[0], 70)
	s := scrubber(t, b, nil)
	s.Configure(Settings{Interval: time.Hour})
	if s.Pass(t.Context()); len(s.Damages()) != 0 {
		t.Fatalf("%+v", s.Damages())
	}
}
