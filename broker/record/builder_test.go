package record

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBuilderKeepsWhatCompactionNeeds(t *testing.T) {
	b := NewBuilder(BuilderOptions{BaseOffset: 100, HasProducer: true, ProducerID: 5, BaseSequence: 40, HasDeleteHorizon: true,
		DeleteHorizonMillis: testNow + 1000, Codec: Zstd})
	b.AppendAt(103, testNow, []byte("a"), nil, nil)
	b.AppendAt(107, testNow+5, []byte("b"), []byte("v"), nil)
	b.SetLastOffset(120)
	batch := mustBuild(t, b)
	if !batch.Attributes().HasDeleteHorizon() || batch.BaseTimestamp() != testNow+1000 {
		t.Errorf("delete horizon %d", batch.BaseTimestamp())
	}
	if batch.LastOffset() != 120 || batch.LastSequence() != 60 || batch.Count() != 2 || batch.MaxTimestamp() != testNow+5 {
		t.Errorf("header: %d %d %d %d", batch.LastOffset(), batch.LastSequence(), batch.Count(), batch.MaxTimestamp())
	}
	want := []Record{
		{TimestampMillis: testNow, OffsetDelta: 3, Key: []byte("a")},
		{TimestampMillis: testNow + 5, OffsetDelta: 7, Key: []byte("b"), Value: []byte("v")},
	}
	if diff := cmp.Diff(want, collect(t, batch)); diff != "" {
		t.Error(diff)
	}
}

func TestBuilderMakesEmptyBatches(t *testing.T) {
	b := NewBuilder(BuilderOptions{BaseOffset: 10, Codec: Gzip, HasProducer: true, ProducerID: 5, ProducerEpoch: 2, BaseSequence: 7})
	b.SetLastOffset(19)
	b.SetMaxTimestamp(testNow)
	batch := mustBuild(t, b)
	if len(batch) != HeaderSize || batch.Count() != 0 || batch.LastOffset() != 19 || batch.LastSequence() != 16 ||
		batch.MaxTimestamp() != testNow || batch.BaseTimestamp() != NoTimestamp || batch.Attributes().Codec() != None {
		t.Errorf("%x", []byte(batch))
	}
	if got := collect(t, batch); got != nil {
		t.Errorf("records %v", got)
	}
}

func TestBuilderCannotBeMisused(t *testing.T) {
	for name, build := range map[string]func(b *Builder){
		"no records":            func(*Builder) {},
		"offsets going back":    func(b *Builder) { b.AppendAt(5, 1, nil, nil, nil); b.AppendAt(5, 1, nil, nil, nil) },
		"offset before base":    func(b *Builder) { b.AppendAt(-1, 1, nil, nil, nil) },
		"offset beyond int32":   func(b *Builder) { b.AppendAt(math.MaxInt32+1, 1, nil, nil, nil) },
		"append beyond int32":   func(b *Builder) { b.AppendAt(math.MaxInt32, 1, nil, nil, nil); b.Append(1, nil, nil, nil) },
		"last offset too small": func(b *Builder) { b.AppendAt(5, 1, nil, nil, nil); b.SetLastOffset(4) },
		"last offset negative":  func(b *Builder) { b.SetLastOffset(-1) },
	} {
		b := NewBuilder(BuilderOptions{})
		build(b)
		if batch, err := b.Build(); err == nil {
			t.Errorf("%s: built %x", name, []byte(batch))
		}
	}
}

func TestBuilderStartsAnewAfterReset(t *testing.T) {
	b := NewBuilder(BuilderOptions{BaseOffset: 9, Transactional: true, HasDeleteHorizon: true, DeleteHorizonMillis: 4})
	b.AppendAt(11, 5, []byte("x"), nil, nil)
	b.AppendAt(1, 5, nil, nil, nil) // an error that must not stay
	first := b.Count()
	b.Reset(BuilderOptions{})
	b.Append(1, []byte("k"), []byte("v"), nil)
	kept := mustBuild(t, b)
	fresh := NewBuilder(BuilderOptions{})
	fresh.Append(1, []byte("k"), []byte("v"), nil)
	if first != 1 || string(kept) != string(mustBuild(t, fresh)) {
		t.Error("Reset left something behind")
	}
	b.Reset(BuilderOptions{})
	b.Append(2, []byte("other"), []byte("other"), nil)
	mustBuild(t, b)
	if string(kept) != string(mustBuild(t, fresh)) {
		t.Error("Build's memory was used again")
	}
}

func TestMarkers(t *testing.T) {
	for _, want := range []EndTxnMarker{{CommitMarker, 7}, {AbortMarker, -1}} {
		b := EndTxnBatch(42, 3, testNow, want)
		a := b.Attributes()
		if !a.IsControl() || !a.IsTransactional() || b.ProducerID() != 42 || b.ProducerEpoch() != 3 || b.BaseSequence() != NoSequence ||
			b.Count() != 1 || b.MaxTimestamp() != testNow || b.VerifyCRC() != nil {
			t.Errorf("%v: %x", want, []byte(b))
		}
		got, ok, err := ParseEndTxnMarker(b)
		if err != nil || !ok || got != want {
			t.Errorf("%v came back as %v, %v, %v", want, got, ok, err)
		}
	}
	if CommitMarker.String() != "COMMIT" || AbortMarker.String() != "ABORT" {
		t.Error("names of markers")
	}
}

func TestMarkersOfOtherShapes(t *testing.T) {
	control := func(key, value []byte) Batch {
		b := NewBuilder(BuilderOptions{Control: true})
		b.Append(testNow, key, value, nil)
		return mustBuild(t, b)
	}
	if m, ok, err := ParseEndTxnMarker(control([]byte{0, 9, 0, 1, 7}, []byte{0, 9, 0, 0, 0, 5, 7})); !ok || err != nil ||
		m != (EndTxnMarker{CommitMarker, 5}) {
		t.Errorf("later version: %v %v %v", m, ok, err)
	}
	if _, ok, err := ParseEndTxnMarker(control([]byte{0, 0, 0, 2}, nil)); ok || err != nil {
		t.Errorf("another control record: %v %v", ok, err)
	}
	empty := NewBuilder(BuilderOptions{Control: true})
	empty.SetLastOffset(0)
	for name, b := range map[string]Batch{
		"short key":        control([]byte{0, 0, 0}, []byte{0, 0, 0, 0, 0, 5}),
		"null key":         control(nil, nil),
		"negative version": control([]byte{0xff, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 5}),
		"short value":      control([]byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0}),
		"no record":        mustBuild(t, empty),
		"damaged":          withPayload(control([]byte{0, 0, 0, 1}, nil), []byte{1, 2, 3}),
	} {
		if _, _, err := ParseEndTxnMarker(b); err == nil {
			t.Errorf("%s was taken for a marker", name)
		}
	}
}
