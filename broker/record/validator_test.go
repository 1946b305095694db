package record

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// kafka_test.go holds the refusals to Kafka's; here is what Kafka does not do or does not tell.

func TestCheckAllocatesNothing(t *testing.T) {
	var v Validator
	b := batchOf(t, BuilderOptions{}, 100)
	hour := openRules()
	hour.AfterMaxMillis = 3_600_000
	appendTime := openRules()
	appendTime.TimestampType = LogAppendTime
	every := openRules()
	every.EveryRecord, every.Compacted = true, true
	for name, r := range map[string]*Rules{"header and hop": &hour, "log append time": &appendTime, "every record": &every} {
		now := int64(testNow)
		allocs := testing.AllocsPerRun(100, func() {
			b.setMaxTimestamp(CreateTime, testNow)
			now++
			if _, err := v.Check(b, r, now); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
	for _, codec := range allCodecs()[1:] {
		b := batchOf(t, BuilderOptions{Codec: codec}, 100)
		if allocs := testing.AllocsPerRun(100, func() { v.Check(b, &hour, testNow) }); allocs != 0 {
			t.Errorf("%v untouched: %v allocations", codec, allocs)
		}
	}
}

func TestCheckDoesNotUnpackWithoutARule(t *testing.T) {
	r := openRules()
	r.AfterMaxMillis = 3_600_000
	for _, codec := range allCodecs()[1:] {
		b := withPayload(batchOf(t, BuilderOptions{Codec: codec}, 3), []byte("nobody looks here"))
		var v Validator
		if got, err := v.Check(b, &r, testNow); err != nil || &got[0] != &b[0] {
			t.Errorf("%v: %v", codec, err)
		}
		for name, change := range map[string]func(r *Rules){
			"compacted":       func(r *Rules) { r.Compacted = true },
			"lower bound":     func(r *Rules) { r.BeforeMaxMillis = 1 << 40 },
			"upper bound hit": func(r *Rules) { r.AfterMaxMillis = -1 },
			"recompression":   func(r *Rules) { r.Compression = Compression{Recode: true, Codec: None} },
			"every record":    func(r *Rules) { r.EveryRecord = true },
		} {
			r := r
			change(&r)
			if _, err := v.Check(b, &r, testNow); !errors.Is(err, kerr.InvalidRecord) {
				t.Errorf("%v, %s: %v", codec, name, err)
			}
		}
	}
}

func TestCheckPatchesInPlace(t *testing.T) {
	r := openRules()
	r.TimestampType = LogAppendTime
	for _, codec := range allCodecs() {
		b := batchOf(t, BuilderOptions{Codec: codec}, 3)
		var v Validator
		got, err := v.Check(b, &r, testNow+5)
		if err != nil || &got[0] != &b[0] {
			t.Fatalf("%v: %v", codec, err)
		}
		if b.MaxTimestamp() != testNow+5 || b.Attributes().TimestampType() != LogAppendTime || b.VerifyCRC() != nil {
			t.Errorf("%v: not patched", codec)
		}
	}
}

func TestCheckBoundsUnpacking(t *testing.T) {
	r := openRules()
	r.Compacted, r.MaxDecompressedBytes = true, 10_000
	b := NewBuilder(BuilderOptions{Codec: Zstd})
	b.Append(testNow, []byte("k"), make([]byte, 20_000), nil)
	var v Validator
	if _, err := v.Check(mustBuild(t, b), &r, testNow); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("error %v", err)
	}
	r.MaxDecompressedBytes = 30_000
	if _, err := v.Check(mustBuild(t, b), &r, testNow); err != nil {
		t.Errorf("error %v", err)
	}
}

func TestCheckBoundsRecordErrors(t *testing.T) {
	r := openRules()
	r.Compacted = true
	b := NewBuilder(BuilderOptions{})
	for range MaxRecordErrors + 500 {
		b.Append(testNow, nil, nil, nil)
	}
	var v Validator
	_, err := v.Check(mustBuild(t, b), &r, testNow)
	var refusal *InvalidBatchError
	if !errors.As(err, &refusal) || len(refusal.RecordErrors) != MaxRecordErrors {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(refusal.Message, fmt.Sprint(MaxRecordErrors+500)) {
		t.Errorf("message %s", refusal.Message)
	}
}

func TestCheckRefusesWhatIsNoBatch(t *testing.T) {
	whole := batchOf(t, BuilderOptions{}, 3)
	r := openRules()
	var v Validator
	for name, b := range map[string]Batch{
		"nothing":          nil,
		"less than header": whole[:HeaderSize-1],
		"cut":              whole[:len(whole)-1],
		"bytes behind":     append(append(Batch{}, whole...), 0),
		"magic 1":          resealed(whole, func(b Batch) { b[magicAt] = 1 }),
	} {
		if _, err := v.Check(b, &r, testNow); !errors.Is(err, kerr.CorruptMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.ZstdAllowed = false
	if _, err := v.Check(batchOf(t, BuilderOptions{Codec: Zstd}, 3), &r, testNow); !errors.Is(err, kerr.UnsupportedCompressionType) {
		t.Errorf("zstd: %v", err)
	}
}

func TestCheckTakesTheCoordinatorsBatches(t *testing.T) {
	r := openRules()
	r.FromCoordinator, r.Compacted, r.ZstdAllowed = true, true, false
	gaps := NewBuilder(BuilderOptions{BaseOffset: 500, Codec: Zstd})
	gaps.AppendAt(503, testNow, []byte("k"), nil, nil)
	for name, b := range map[string]Batch{
		"a base offset and gaps": mustBuild(t, gaps),
		"a marker":               EndTxnBatch(1, 2, testNow, EndTxnMarker{AbortMarker, 1}),
	} {
		var v Validator
		if got, err := v.Check(b, &r, testNow); err != nil || string(got) != string(b) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRecompressionReusesCodecs runs many batches through one validator: what one leaves must not show in the next.
func TestRecompressionReusesCodecs(t *testing.T) {
	codecs := &Codecs{}
	v := Validator{Codecs: codecs}
	for round := range 20 {
		for _, from := range allCodecs() {
			for _, to := range allCodecs() {
				r := openRules()
				r.Compression = Compression{Recode: true, Codec: to, Level: round % 3}
				b := batchOf(t, BuilderOptions{Codec: from}, 1+round*7)
				want := collect(t, b)
				got, err := v.Check(b, &r, testNow)
				if err != nil {
					t.Fatalf("%v to %v: %v", from, to, err)
				}
				if got.Attributes().Codec() != to || got.VerifyCRC() != nil {
					t.Fatalf("%v to %v: %v", from, to, got.Attributes().Codec())
				}
				if have := collect(t, got); fmt.Sprint(have) != fmt.Sprint(want) {
					t.Fatalf("%v to %v: records differ", from, to)
				}
			}
		}
	}
}

func TestErrorsTellTheirCode(t *testing.T) {
	err := refuse(kerr.InvalidRecord, "because of %d", 3)
	if err.Error() != "INVALID_RECORD: because of 3" || !errors.Is(err, kerr.InvalidRecord) {
		t.Errorf("%v", err)
	}
	if again := refusal(err); again != err {
		t.Errorf("wrapped twice: %v", again)
	}
	if other := refusal(errors.New("plain")); !errors.Is(other, kerr.InvalidRecord) {
		t.Errorf("%v", other)
	}
}

func BenchmarkCheck(b *testing.B) {
	rules := map[string]func(r *Rules){
		"hop":           func(r *Rules) { r.AfterMaxMillis = 3_600_000 },
		"every record":  func(r *Rules) { r.EveryRecord = true },
		"append time":   func(r *Rules) { r.TimestampType = LogAppendTime },
		"recode to lz4": func(r *Rules) { r.Compression = Compression{Recode: true, Codec: LZ4} },
	}
	for _, valueSize := range []int{50, 1000} {
		builder := NewBuilder(BuilderOptions{})
		for builder.SizeBytes() < 64<<10 {
			builder.Append(testNow, []byte("key"), make([]byte, valueSize), nil)
		}
		batch := mustBuild(b, builder)
		original := append(Batch(nil), batch[:HeaderSize]...)
		for name, change := range rules {
			r := openRules()
			r.BeforeMaxMillis = math.MaxInt64
			change(&r)
			b.Run(fmt.Sprintf("%s/%d records of %d bytes", name, batch.Count(), valueSize), func(b *testing.B) {
				v := Validator{Codecs: &Codecs{}}
				b.SetBytes(int64(len(batch)))
				b.ReportAllocs()
				now := int64(testNow)
				for b.Loop() {
					now++
					if r.TimestampType == LogAppendTime { // as the producer sent it, with the CRC that it had
						copy(batch, original)
					}
					if _, err := v.Check(batch, &r, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkHop is the part of Check that grows with the number of records.
func BenchmarkHop(b *testing.B) {
	for _, valueSize := range []int{20, 100, 1000} {
		builder := NewBuilder(BuilderOptions{})
		for range 1000 {
			builder.Append(testNow, []byte("key"), make([]byte, valueSize), nil)
		}
		payload := mustBuild(b, builder).Payload()
		b.Run(fmt.Sprintf("lengths of %d bytes", valueSize), func(b *testing.B) {
			for b.Loop() {
				if err := hop(payload, 1000); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
		b.Run(fmt.Sprintf("every record of %d bytes", valueSize), func(b *testing.B) {
			var f fields
			for b.Loop() {
				for p := payload; len(p) > 0; {
					n, err := f.parse(p)
					if err != nil {
						b.Fatal(err)
					}
					p = p[n:]
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}
