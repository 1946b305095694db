package record

import (
	"errors"
	"io"
	"testing"
)

// The corpora in testdata/fuzz reach further into the decoders; the seeds here are whole batches and broken ones.

func seeds(f *testing.F) (all [][]byte) {
	f.Helper()
	for _, codec := range allCodecs() {
		b := batchOf(f, BuilderOptions{Codec: codec, HasProducer: true, ProducerID: 3}, 4)
		all = append(all, b, b[:len(b)-3], withPayload(b, b.Payload()[:len(b.Payload())/2]),
			resealed(b, func(b Batch) { putInt32(b, countAt, 1<<30) }))
	}
	marker := EndTxnBatch(1, 2, testNow, EndTxnMarker{CommitMarker, 1})
	return append(all, marker, append(append([]byte{}, marker...), all[0]...), nil)
}

func FuzzSplit(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		rest := p
		for {
			b, next, err := Split(rest)
			if err != nil {
				var c *CorruptError
				if err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &c) {
					t.Fatalf("error of another type: %v", err)
				}
				return
			}
			if len(b) < HeaderSize || len(b)+len(next) != len(rest) || int(b.length())+logOverhead != len(b) {
				t.Fatalf("cut %d of %d, %d left", len(b), len(rest), len(next))
			}
			rest = next
		}
	})
}

func FuzzRecords(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		const bound = 1 << 20
		b := Batch(p)
		count, size := 0, 0
		var failed error
		for r, err := range b.Records(&Decompressor{MaxBytes: bound}) {
			if failed != nil {
				t.Fatal("the iteration went on after an error")
			}
			if failed = err; err == nil {
				count++
				size += len(r.Key) + len(r.Value)
			}
		}
		if size > bound+len(p) {
			t.Fatalf("%d bytes of keys and values", size)
		}
		if failed == nil && count != int(b.Count()) {
			t.Fatalf("%d records, the header says %d", count, b.Count())
		}
		if _, _, err := ParseEndTxnMarker(b); failed != nil && count == 0 && err == nil {
			t.Fatal("a marker was read where no record is")
		}
	})
}

// FuzzCheck seals what the fuzzer made, so that it gets past the CRC, and demands that what is taken can be read.
func FuzzCheck(f *testing.F) {
	for _, seed := range seeds(f) {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(0xff))
	}
	codecs := &Codecs{}
	f.Fuzz(func(t *testing.T, p []byte, rules uint8) {
		b, err := SplitProduced(append([]byte(nil), p...), 11)
		if err != nil {
			wantRefusal(t, err)
			return
		}
		b.writeCRC()
		r := fuzzRules(rules)
		v := Validator{Codecs: codecs}
		got, err := v.Check(b, &r, testNow)
		if err != nil {
			wantRefusal(t, err)
			return
		}
		if err := got.VerifyCRC(); err != nil {
			t.Fatal(err)
		}
		if again, rest, err := Split(got); err != nil || len(rest) != 0 || len(again) != len(got) {
			t.Fatalf("what was taken does not split: %v", err)
		}
		if !r.EveryRecord {
			return
		}
		for rec, err := range got.Records(&Decompressor{Codecs: codecs, MaxBytes: 1 << 20}) {
			if err != nil {
				t.Fatalf("what was taken cannot be read: %v", err)
			}
			if r.Compacted && rec.Key == nil {
				t.Fatal("a null key was taken")
			}
		}
	})
}

func fuzzRules(bits uint8) Rules {
	r := openRules()
	r.MaxDecompressedBytes = 1 << 20
	r.EveryRecord = bits&1 != 0
	r.Compacted = bits&2 != 0
	if bits&4 != 0 {
		r.TimestampType = LogAppendTime
	}
	if bits&8 != 0 {
		r.BeforeMaxMillis, r.AfterMaxMillis = 86_400_000, 3_600_000
	}
	if bits&16 != 0 {
		r.Compression = Compression{Recode: true, Codec: Codec(bits >> 5 % 5)}
	}
	return r
}

func wantRefusal(t *testing.T, err error) {
	t.Helper()
	var refusal *InvalidBatchError
	if !errors.As(err, &refusal) || refusal.Err == nil || refusal.Message == "" {
		t.Fatalf("error of another type: %v", err)
	}
}

func FuzzDecompress(f *testing.F) {
	for _, codec := range allCodecs() {
		packed, err := Compress(codec, 0, nil, []byte("some records, some records, some records"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(codec), packed)
	}
	codecs := &Codecs{}
	f.Fuzz(func(t *testing.T, codec uint8, p []byte) {
		const bound = 1 << 20
		got, err := codecs.Decompress(Codec(codec&7), nil, p, bound)
		if len(got) > bound {
			t.Fatalf("%d bytes", len(got))
		}
		var c *CorruptError
		if err != nil && !errors.As(err, &c) {
			t.Fatalf("error of another type: %v", err)
		}
	})
}
