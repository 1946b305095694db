package record

import (
	"fmt"
	"math"
	"testing"
)

const testNow = 1_700_000_000_000

// openRules let everything pass that is whole.
func openRules() Rules {
	return Rules{MaxMessageBytes: 1 << 20, BeforeMaxMillis: math.MaxInt64, AfterMaxMillis: math.MaxInt64, ZstdAllowed: true,
		TopicPartition: "orders-0"}
}

func allCodecs() []Codec { return []Codec{None, Gzip, Snappy, LZ4, Zstd} }

// batchOf makes a batch of count records: keys, values and headers of all sorts, timestamps one apart up to testNow.
func batchOf(t testing.TB, opts BuilderOptions, count int) Batch {
	t.Helper()
	b := NewBuilder(opts)
	for i := range count {
		var headers []Header
		if i%3 == 1 {
			headers = []Header{{Key: "trace", Value: []byte{byte(i)}}, {Key: "", Value: nil}}
		}
		value := []byte(fmt.Sprintf(`{"order":%d,"state":"paid","amount":%d}`, i, i*7))
		if i%5 == 4 {
			value = nil
		}
		b.Append(testNow-int64(count-1)+int64(i), []byte(fmt.Sprint("key", i)), value, headers)
	}
	return mustBuild(t, b)
}

func mustBuild(t testing.TB, b *Builder) Batch {
	t.Helper()
	batch, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// resealed is a copy of b after change, with a CRC that is right for it.
func resealed(b Batch, change func(b Batch)) Batch {
	out := append(Batch(nil), b...)
	change(out)
	out.setLength()
	out.writeCRC()
	return out
}

// withPayload is b with other bytes for records.
func withPayload(b Batch, payload []byte) Batch {
	out := append(append(Batch(nil), b[:HeaderSize]...), payload...)
	out.setLength()
	out.writeCRC()
	return out
}

// collect reads all records, in memory of their own.
func collect(t testing.TB, b Batch) []Record {
	t.Helper()
	var all []Record
	for r, err := range b.Records(nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, cloneRecord(r))
	}
	return all
}

func cloneRecord(r Record) Record {
	r.Key, r.Value = clone(r.Key), clone(r.Value)
	headers := r.Headers
	r.Headers = nil
	for _, h := range headers {
		r.Headers = append(r.Headers, Header{h.Key, clone(h.Value)})
	}
	return r
}

func clone(p []byte) []byte {
	if p == nil {
		return nil
	}
	return append([]byte{}, p...)
}
