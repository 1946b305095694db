package producer

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

func data(id int64, epoch int16, sequence, count int32, offset int64, transactional bool) *Info {
	last := int64(sequence) + int64(count) - 1
	if last > math.MaxInt32 {
		last -= 1 << 31
	}
	return &Info{
		ProducerID: id, Epoch: epoch, BaseSequence: sequence, LastSequence: int32(last), BaseOffset: offset,
		LastOffset: offset + int64(count) - 1, MaxTimestampMillis: offset, Transactional: transactional,
		Guard: Unverified,
	}
}

func marker(id int64, epoch int16, coordinatorEpoch int32, offset int64, abort bool) *Info {
	return &Info{
		ProducerID: id, Epoch: epoch, BaseOffset: offset, LastOffset: offset, BaseSequence: None, LastSequence: None,
		Transactional: true, Control: true, HasMarker: true, Abort: abort, CoordinatorEpoch: coordinatorEpoch,
	}
}

func TestSequencesAreHeldAgainstTheProducersState(t *testing.T) {
	const id = 7
	tests := []struct {
		name  string
		past  []*Info
		next  *Info
		check Check
		want  error
	}{
		{"first batch of an unknown producer, any sequence", nil, data(id, 0, 55, 1, 0, false), CheckSequence, nil},
		{"next in order", []*Info{data(id, 0, 0, 3, 0, false)}, data(id, 0, 3, 1, 3, false), CheckSequence, nil},
		{"gap", []*Info{data(id, 0, 0, 3, 0, false)}, data(id, 0, 4, 1, 3, false), CheckSequence, kerr.OutOfOrderSequenceNumber},
		{"back", []*Info{data(id, 0, 0, 3, 0, false)}, data(id, 0, 1, 1, 3, false), CheckSequence, kerr.OutOfOrderSequenceNumber},
		{"gap from a coordinator", []*Info{data(id, 0, 0, 3, 0, false)}, data(id, 0, 9, 1, 3, false), CheckEpoch, nil},
		{"wrap", []*Info{data(id, 0, math.MaxInt32-1, 2, 0, false)}, data(id, 0, 0, 1, 2, false), CheckSequence, nil},
		{"batch across the wrap", []*Info{data(id, 0, math.MaxInt32-1, 4, 0, false)}, data(id, 0, 2, 1, 4, false), CheckSequence, nil},
		{"new epoch begins at 0", []*Info{data(id, 0, 0, 3, 0, false)}, data(id, 1, 0, 1, 3, false), CheckSequence, nil},
		{"new epoch elsewhere", []*Info{data(id, 0, 0, 3, 0, false)}, data(id, 1, 3, 1, 3, false), CheckSequence, kerr.OutOfOrderSequenceNumber},
		{"old epoch", []*Info{data(id, 2, 0, 3, 0, false)}, data(id, 1, 3, 1, 3, false), CheckSequence, kerr.InvalidProducerEpoch},
		{"old epoch from a coordinator", []*Info{data(id, 2, 0, 3, 0, false)}, data(id, 1, 3, 1, 3, false), CheckEpoch, kerr.InvalidProducerEpoch},
		{"old epoch by replication", []*Info{data(id, 2, 0, 3, 0, false)}, data(id, 1, 3, 1, 3, false), CheckNothing, nil},
		{"plain batch inside a transaction", []*Info{data(id, 0, 0, 1, 0, true)}, data(id, 0, 1, 1, 1, false), CheckSequence, kerr.InvalidTxnState},
		{"marker of an old coordinator", []*Info{marker(id, 0, 5, 0, false)}, marker(id, 0, 4, 1, false), CheckEpoch, kerr.TransactionCoordinatorFenced},
		{"marker of an old epoch", []*Info{data(id, 3, 0, 1, 0, true)}, marker(id, 2, 1, 1, false), CheckEpoch, kerr.InvalidProducerEpoch},
		{"after a marker sequences go on", []*Info{data(id, 0, 0, 1, 0, true), marker(id, 0, 1, 1, false)}, data(id, 0, 1, 1, 2, true), CheckSequence, nil},
		{"after a marker with a new epoch they begin anew", []*Info{data(id, 0, 0, 1, 0, true), marker(id, 1, 1, 1, false)}, data(id, 1, 0, 1, 2, true), CheckSequence, nil},
		{"after a marker with a new epoch, not at 0", []*Info{data(id, 0, 0, 1, 0, true), marker(id, 1, 1, 1, false)}, data(id, 1, 1, 1, 2, true), CheckSequence, kerr.OutOfOrderSequenceNumber},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var table Table
			var undo Undo
			for _, in := range test.past {
				if _, _, err := table.Append(in, CheckEpoch, &undo); err != nil {
					t.Fatal(err)
				}
			}
			before := table.States()
			_, _, err := table.Append(test.next, test.check, &undo)
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if err != nil && !reflect.DeepEqual(before, table.States()) {
				t.Fatal("a refused batch changed the state")
			}
		})
	}
}

func TestTheLastFiveBatchesAreKnownAgain(t *testing.T) {
	var table Table
	var undo Undo
	for i := range int32(8) {
		if _, _, err := table.Append(data(1, 0, i*10, 10, int64(i)*10, false), CheckSequence, &undo); err != nil {
			t.Fatal(err)
		}
	}
	for i := range int32(8) {
		original, ok := table.Duplicate(data(1, 0, i*10, 10, 1000, false))
		if ok != (i >= 3) || ok && original.FirstOffset() != int64(i)*10 {
			t.Errorf("batch %d: %v, %+v", i, ok, original)
		}
	}
	for _, in := range []*Info{data(1, 1, 70, 10, 0, false), data(1, 0, 70, 9, 0, false), data(1, 0, 71, 9, 0, false), data(2, 0, 70, 10, 0, false)} {
		if _, ok := table.Duplicate(in); ok {
			t.Errorf("%+v is taken for a duplicate", in)
		}
	}
}

func TestFirstUnstableOffsetWaitsForTheHighWatermark(t *testing.T) {
	var table Table
	var undo Undo
	step := func(in *Info, wantEnded bool, wantUnstable int64) CompletedTxn {
		t.Helper()
		completed, ended, err := table.Append(in, CheckEpoch, &undo)
		if err != nil || ended != wantEnded || table.FirstUnstableOffset() != wantUnstable {
			t.Fatalf("%+v: ended %v, first unstable %d, %v", in, ended, table.FirstUnstableOffset(), err)
		}
		return completed
	}
	step(data(1, 0, 0, 1, 10, true), false, 10)
	step(data(2, 0, 0, 1, 11, true), false, 10)
	first := step(marker(1, 0, 1, 12, true), true, 10)
	if first != (CompletedTxn{ProducerID: 1, FirstOffset: 10, LastOffset: 12, LastStableOffset: 11, Aborted: true}) {
		t.Fatalf("%+v", first)
	}
	table.SetHighWatermark(12) // the marker itself is not below
	if table.FirstUnstableOffset() != 10 {
		t.Fatal("stable before the marker is replicated")
	}
	table.SetHighWatermark(13)
	if table.FirstUnstableOffset() != 11 {
		t.Fatalf("first unstable offset is %d", table.FirstUnstableOffset())
	}
	second := step(marker(2, 0, 1, 13, false), true, 11)
	if second.Aborted || second.LastStableOffset != 14 {
		t.Fatalf("%+v", second)
	}
	table.SetHighWatermark(14)
	if table.FirstUnstableOffset() != None {
		t.Fatal("nothing is open")
	}
	step(marker(3, 0, 1, 14, true), false, None) // a marker without data
}

func TestIdleProducersExpireUnlessATransactionIsOpen(t *testing.T) {
	var table Table
	var undo Undo
	table.Append(data(1, 0, 0, 1, 100, false), CheckSequence, &undo)
	table.Append(data(2, 0, 0, 1, 100, true), CheckSequence, &undo)
	table.Append(data(3, 0, 0, 1, 200, false), CheckSequence, &undo)
	if n := table.RemoveExpired(1100, 1000); n != 1 {
		t.Fatalf("%d expired", n)
	}
	if _, ok := table.Get(1); ok {
		t.Fatal("producer 1 is still known")
	}
	if _, _, err := table.Append(data(1, 0, 77, 1, 300, false), CheckSequence, &undo); err != nil {
		t.Fatalf("an expired producer is not let in with its next sequence: %v", err)
	}
}

// draw appends random batches to a table.
func draw(t *rapid.T, table *Table, from, n int, each func(in *Info, undo *Undo, err error)) {
	for offset := from; offset < from+n; offset++ {
		id := rapid.Int64Range(1, 3).Draw(t, "id")
		epoch := rapid.Int16Range(0, 2).Draw(t, "epoch")
		var in *Info
		if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
			in = marker(id, epoch, rapid.Int32Range(0, 2).Draw(t, "coordinator"), int64(offset), rapid.Bool().Draw(t, "abort"))
		} else {
			in = data(id, epoch, rapid.Int32Range(0, 3).Draw(t, "sequence"), 1, int64(offset), rapid.Bool().Draw(t, "transactional"))
		}
		undo := new(Undo)
		_, _, err := table.Append(in, Check(rapid.IntRange(0, 2).Draw(t, "check")), undo)
		each(in, undo, err)
	}
}

func TestUndoTakesEverythingBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		draw(t, &table, 0, 10, func(*Info, *Undo, error) {})
		states, unstable, decided := table.States(), table.FirstUnstableOffset(), len(table.decided)
		var undos []*Undo
		draw(t, &table, 10, 10, func(_ *Info, undo *Undo, err error) {
			if err == nil {
				undos = append(undos, undo)
			}
		})
		for i := len(undos) - 1; i >= 0; i-- {
			table.Undo(undos[i])
		}
		if !reflect.DeepEqual(states, table.States()) || unstable != table.FirstUnstableOffset() || decided != len(table.decided) {
			t.Fatalf("undone: %+v, was %+v; unstable %d, was %d", table.States(), states, table.FirstUnstableOffset(), unstable)
		}
	})
}

func TestSnapshotKeepsWhatTheNextAppendNeeds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var table Table
		draw(t, &table, 0, 20, func(*Info, *Undo, error) {})
		loaded, err := DecodeSnapshot(table.EncodeSnapshot())
		if err != nil {
			t.Fatal(err)
		}
		was, is := table.States(), loaded.States()
		if len(was) != len(is) {
			t.Fatalf("%d producers, were %d", len(is), len(was))
		}
		for i, w := range was {
			if s := is[i]; !slices.Equal(s.Batches(), w.Batches()) || s.ID != w.ID || s.Epoch != w.Epoch ||
				s.CoordinatorEpoch != w.CoordinatorEpoch || s.TxnFirstOffset != w.TxnFirstOffset || s.LastTimestampMillis != w.LastTimestampMillis {
				t.Fatalf("%+v, was %+v", s, w)
			}
		}
		if len(loaded.ongoing) != len(table.ongoing) {
			t.Fatalf("%d open transactions, were %d", len(loaded.ongoing), len(table.ongoing))
		}
	})
}

// A producer whose answers were lost with the broker sends again what it has not had an answer for: up to five batches.
func TestRestartKnowsEveryBatchThatMayBeSentAgain(t *testing.T) {
	var table Table
	for n := range int64(7) {
		if _, _, err := table.Append(data(5, 1, int32(10*n), 10, 10*n, false), CheckSequence, new(Undo)); err != nil {
			t.Fatal(err)
		}
	}
	loaded, err := DecodeSnapshot(table.EncodeSnapshot())
	if err != nil {
		t.Fatal(err)
	}
	for n := int64(2); n < 7; n++ {
		b, known := loaded.Duplicate(data(5, 1, int32(10*n), 10, 500, false))
		if !known || b.FirstOffset() != 10*n {
			t.Errorf("batch %d sent again is at %+v (%v), want offset %d", n, b, known, 10*n)
		}
	}
}

// Kafka writes no more than the entries, and reads no further.
func TestSnapshotOfKafka(t *testing.T) {
	var table Table
	for n := range int64(3) {
		_, _, _ = table.Append(data(5, 1, int32(10*n), 10, 10*n, false), CheckSequence, new(Undo))
	}
	p := table.EncodeSnapshot()[:snapshotHeader+snapshotEntry]
	binary.BigEndian.PutUint32(p[snapshotCRCAt:], snapshotCRC(p))
	loaded, err := DecodeSnapshot(p)
	if err != nil {
		t.Fatal(err)
	}
	if s := loaded.States(); len(s) != 1 || len(s[0].Batches()) != 1 || s[0].LastSequence() != 29 || s[0].LastOffset() != 29 {
		t.Errorf("read %+v", s)
	}
}

func FuzzDecodeSnapshot(f *testing.F) {
	var table Table
	var undo Undo
	f.Add(table.EncodeSnapshot())
	table.Append(data(5, 1, 0, 3, 0, true), CheckSequence, &undo)
	f.Add(table.EncodeSnapshot())
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		table, err := DecodeSnapshot(p)
		if err != nil {
			if !errors.Is(err, ErrCorruptSnapshot) {
				t.Fatal(err)
			}
			return
		}
		if _, err := DecodeSnapshot(table.EncodeSnapshot()); err != nil {
			t.Fatal(err)
		}
		table.FirstUnstableOffset()
	})
}
