//go:build !race

// The race detector makes sync.Pool forget at random, so allocations are counted without it only.

package log

import (
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/record"
)

func TestAppendAndTailReadAllocateNothing(t *testing.T) {
	l := benchLog(t)
	entries := make([]Entry, 4)
	for i := range entries {
		entries[i].Batch = benchBatch(t, 1<<10)
	}
	opts := record.BuilderOptions{HasProducer: true, ProducerID: 1}
	idempotent := []Entry{{}}
	sequence := int32(0)
	builder := record.NewBuilder(opts)
	appendOnce := func() {
		if _, err := l.Append(entries, 1, OriginClient); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		appendOnce() // grow what grows
	}
	if n := testing.AllocsPerRun(1000, appendOnce); n > 0.1 {
		t.Errorf("an append allocates %v times", n)
	}
	end := l.LogEndOffset()
	read := func() {
		s, err := l.Read(end-1, end, 1<<20, true)
		if err != nil || s.SizeBytes == 0 {
			t.Fatal(err)
		}
		s.Release()
	}
	if n := testing.AllocsPerRun(1000, read); n > 0.1 {
		t.Errorf("a read of the tail allocates %v times", n)
	}
	builder.Append(time.Now().UnixMilli(), nil, []byte("x"), nil)
	built, err := builder.Build()
	if err != nil {
		t.Fatal(err)
	}
	idempotent[0].Batch = built
	if _, err := l.Append(idempotent, 1, OriginClient); err != nil || idempotent[0].Err != nil {
		t.Fatal(err, idempotent[0].Err)
	}
	duplicate := func() {
		idempotent[0].Duplicate = false
		if _, err := l.Append(idempotent, 1, OriginClient); err != nil || !idempotent[0].Duplicate {
			t.Fatal(err, sequence)
		}
	}
	if n := testing.AllocsPerRun(1000, duplicate); n > 0.1 {
		t.Errorf("a duplicate allocates %v times", n)
	}
}
