package record

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

func TestBatchReadsItsHeader(t *testing.T) {
	b := batchOf(t, BuilderOptions{Codec: LZ4, BaseOffset: 1000, PartitionLeaderEpoch: 4, HasProducer: true, ProducerID: 1 << 40,
		ProducerEpoch: 300, BaseSequence: math.MaxInt32 - 1, Transactional: true}, 4)
	for what, got := range map[string][2]int64{
		"base offset":     {b.BaseOffset(), 1000},
		"last offset":     {b.LastOffset(), 1003},
		"next offset":     {b.NextOffset(), 1004},
		"leader epoch":    {int64(b.PartitionLeaderEpoch()), 4},
		"magic":           {int64(b.Magic()), 2},
		"last delta":      {int64(b.LastOffsetDelta()), 3},
		"base timestamp":  {b.BaseTimestamp(), testNow - 3},
		"max timestamp":   {b.MaxTimestamp(), testNow},
		"producer id":     {b.ProducerID(), 1 << 40},
		"producer epoch":  {int64(b.ProducerEpoch()), 300},
		"base sequence":   {int64(b.BaseSequence()), math.MaxInt32 - 1},
		"wrapped":         {int64(b.LastSequence()), 1},
		"count":           {int64(b.Count()), 4},
		"codec":           {int64(b.Attributes().Codec()), int64(LZ4)},
		"payload":         {int64(len(b.Payload())), int64(len(b) - HeaderSize)},
		"timestamp type":  {int64(b.Attributes().TimestampType()), int64(CreateTime)},
		"size in a field": {int64(b.length()), int64(len(b) - logOverhead)},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %d, want %d", what, got[0], got[1])
		}
	}
	a := b.Attributes()
	if !a.IsTransactional() || a.IsControl() || a.HasDeleteHorizon() {
		t.Errorf("attributes %#x", a)
	}
	if err := b.VerifyCRC(); err != nil {
		t.Error(err)
	}
	if none := batchOf(t, BuilderOptions{}, 1); none.LastSequence() != NoSequence || none.ProducerID() != NoProducerID {
		t.Error("a batch without producer has a producer")
	}
}

func TestSettersKeepTheCRCRight(t *testing.T) {
	b := batchOf(t, BuilderOptions{}, 3)
	before := b.CRC()
	b.SetBaseOffset(77)
	b.SetPartitionLeaderEpoch(5)
	if b.BaseOffset() != 77 || b.PartitionLeaderEpoch() != 5 || b.CRC() != before || b.VerifyCRC() != nil {
		t.Error("offset and epoch lie outside the CRC")
	}
	b.SetLogAppendTime(testNow + 9)
	if b.MaxTimestamp() != testNow+9 || b.Attributes().TimestampType() != LogAppendTime {
		t.Error("log append time is not in the header")
	}
	if err := b.VerifyCRC(); err != nil {
		t.Error(err)
	}
	for _, r := range collect(t, b) {
		if r.TimestampMillis != testNow+9 {
			t.Errorf("record of %d", r.TimestampMillis)
		}
	}
	b[len(b)-1] ^= 1
	if err := b.VerifyCRC(); !errors.Is(err, kerr.CorruptMessage) {
		t.Errorf("damaged: %v", err)
	}
}

func TestSequencesWrap(t *testing.T) {
	for _, c := range [][3]int32{{0, 0, 0}, {5, 3, 8}, {math.MaxInt32, 1, 0}, {math.MaxInt32 - 1, 3, 1}, {math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1}} {
		if got := IncrementSequence(c[0], c[1]); got != c[2] {
			t.Errorf("%d + %d = %d, want %d", c[0], c[1], got, c[2])
		}
		if got := DecrementSequence(c[2], c[1]); got != c[0] {
			t.Errorf("%d - %d = %d, want %d", c[2], c[1], got, c[0])
		}
	}
}

func TestSplit(t *testing.T) {
	one, two := batchOf(t, BuilderOptions{}, 1), batchOf(t, BuilderOptions{Codec: Zstd, BaseOffset: 1}, 9)
	stream := append(append([]byte{}, one...), two...)
	b, rest, err := Split(stream)
	if err != nil || string(b) != string(one) {
		t.Fatalf("first: %v", err)
	}
	if cap(b) != len(b) {
		t.Error("an append to the first batch would write into the second")
	}
	if b, rest, err = Split(rest); err != nil || string(b) != string(two) {
		t.Fatalf("second: %v", err)
	}
	if _, _, err = Split(rest); err != io.EOF {
		t.Fatalf("end: %v", err)
	}
	for cut := 1; cut < len(one); cut++ {
		if _, rest, err = Split(one[:cut]); err != io.ErrUnexpectedEOF || len(rest) != cut {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for _, length := range []uint32{0, 48, 1 << 31, math.MaxUint32} {
		bad := append([]byte{}, one...)
		binary.BigEndian.PutUint32(bad[batchLengthAt:], length)
		if _, _, err = Split(bad); !errors.Is(err, kerr.CorruptMessage) {
			t.Errorf("length %d: %v", length, err)
		}
	}
	bad := append([]byte{}, one...)
	bad[magicAt] = 1
	if _, _, err = Split(bad); !errors.Is(err, kerr.CorruptMessage) {
		t.Errorf("magic 1: %v", err)
	}
	binary.BigEndian.PutUint32(bad[batchLengthAt:], math.MaxInt32)
	bad[magicAt] = 2
	if _, _, err = Split(bad); err != io.ErrUnexpectedEOF {
		t.Errorf("length of 2 GiB: %v", err)
	}
}

func TestVarintsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		short, long := rapid.Int32().Draw(t, "short"), rapid.Int64().Draw(t, "long")
		p := appendVarint(nil, short)
		if got, n := varint(append(p, 0xff)); got != short || n != len(p) || n != varintSize(short) {
			t.Fatalf("varint %d: %d in %d bytes", short, got, n)
		}
		p = appendVarlong(nil, long)
		if got, n := varlong(append(p, 0xff)); got != long || n != len(p) || n != varlongSize(long) {
			t.Fatalf("varlong %d: %d in %d bytes", long, got, n)
		}
	})
}

func TestVarintsThatDoNotEnd(t *testing.T) {
	endless := []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}
	for size := range len(endless) {
		wantShort, wantLong := 0, 0
		if size >= 5 {
			wantShort = -1
		}
		if size >= 10 {
			wantLong = -1
		}
		if _, n := varint(endless[:size]); n != wantShort {
			t.Errorf("varint of %d bytes: %d", size, n)
		}
		if _, n := varlong(endless[:size]); n != wantLong {
			t.Errorf("varlong of %d bytes: %d", size, n)
		}
	}
}

// TestBatchesRoundTrip builds random batches with each codec and reads them back.
func TestBatchesRoundTrip(t *testing.T) {
	codecs := &Codecs{}
	builder := NewBuilder(BuilderOptions{})
	rapid.Check(t, func(t *rapid.T) {
		opts := BuilderOptions{
			Codec:      rapid.SampledFrom(allCodecs()).Draw(t, "codec"),
			BaseOffset: rapid.Int64Range(0, 1<<50).Draw(t, "base offset"),
			Codecs:     codecs,
		}
		records := rapid.SliceOfN(drawRecord(), 1, 50).Draw(t, "records")
		builder.Reset(opts)
		delta := int32(0)
		for i := range records {
			delta += records[i].OffsetDelta
			records[i].OffsetDelta = delta
			builder.AppendAt(opts.BaseOffset+int64(delta), records[i].TimestampMillis, records[i].Key, records[i].Value, records[i].Headers)
			delta++
		}
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		if opts.Codec == None && len(b) != builder.SizeBytes() {
			t.Fatalf("size %d, said %d", len(b), builder.SizeBytes())
		}
		if split, rest, err := Split(b); err != nil || len(rest) != 0 || len(split) != len(b) || b.VerifyCRC() != nil {
			t.Fatalf("split: %v", err)
		}
		var got []Record
		for r, err := range b.Records(&Decompressor{Codecs: codecs}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, cloneRecord(r))
		}
		if diff := cmp.Diff(records, got); diff != "" {
			t.Fatal(diff)
		}
		checkMaxTimestamp(t, b, records)
	})
}

func checkMaxTimestamp(t *rapid.T, b Batch, records []Record) {
	latest := records[0].TimestampMillis
	for _, r := range records {
		latest = max(latest, r.TimestampMillis)
	}
	if b.MaxTimestamp() != latest || b.Count() != int32(len(records)) || b.LastOffsetDelta() != records[len(records)-1].OffsetDelta {
		t.Fatalf("header: max timestamp %d, count %d, last delta %d", b.MaxTimestamp(), b.Count(), b.LastOffsetDelta())
	}
}

func drawRecord() *rapid.Generator[Record] {
	nullable := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	return rapid.Custom(func(t *rapid.T) Record {
		r := Record{
			TimestampMillis: rapid.Int64Range(-1, 1<<62).Draw(t, "timestamp"),
			OffsetDelta:     rapid.Int32Range(0, 3).Draw(t, "gap"),
			Key:             nullable.Draw(t, "key"),
			Value:           nullable.Draw(t, "value"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = append(r.Headers, Header{rapid.StringN(0, 10, 30).Draw(t, "name"), nullable.Draw(t, "header")})
		}
		return r
	})
}

func TestIterationStopsWhereItIsTold(t *testing.T) {
	for _, codec := range allCodecs() {
		seen := 0
		for _, err := range batchOf(t, BuilderOptions{Codec: codec}, 10).Records(nil) {
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 3 {
				break
			}
		}
		if seen != 3 {
			t.Errorf("%v: %d", codec, seen)
		}
	}
}

func TestIterationOfNestedBatches(t *testing.T) {
	d := &Decompressor{Codecs: &Codecs{}}
	outer, inner := batchOf(t, BuilderOptions{Codec: Zstd}, 20), batchOf(t, BuilderOptions{Codec: Zstd}, 30)
	var keys []string
	for r := range outer.Records(d) {
		for range inner.Records(d) { // must not take the outer one's scratch
		}
		keys = append(keys, string(r.Key))
	}
	for i, want := range collect(t, outer) {
		if keys[i] != string(want.Key) {
			t.Fatalf("record %d: key %q, want %q", i, keys[i], want.Key)
		}
	}
}

func TestIterationEndsWithAnError(t *testing.T) {
	whole := batchOf(t, BuilderOptions{}, 3)
	for name, b := range map[string]Batch{
		"shorter than a header": whole[:30],
		"count too high":        resealed(whole, func(b Batch) { putInt32(b, countAt, 4) }),
		"count too low":         resealed(whole, func(b Batch) { putInt32(b, countAt, 2) }),
		"count negative":        resealed(whole, func(b Batch) { putInt32(b, countAt, -1) }),
		"cut":                   whole[:len(whole)-1],
		"codec unknown":         resealed(whole, func(b Batch) { b.setAttributes(6) }),
		"codec wrong":           resealed(whole, func(b Batch) { b.setAttributes(Attributes(Zstd)) }),
	} {
		var last error
		count := 0
		for _, err := range b.Records(nil) {
			last = err
			count++
		}
		var c *CorruptError
		if !errors.As(last, &c) || count > 4 {
			t.Errorf("%s: %d steps, %v", name, count, last)
		}
	}
	bomb := mustBuild(t, func() *Builder {
		b := NewBuilder(BuilderOptions{Codec: Gzip})
		b.Append(1, nil, make([]byte, 1<<20), nil)
		return b
	}())
	for _, err := range bomb.Records(&Decompressor{MaxBytes: 1000}) {
		if !errors.Is(err, kerr.MessageTooLarge) {
			t.Errorf("bomb: %v", err)
		}
	}
}
