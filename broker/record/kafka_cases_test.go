package record

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// The questions of testdata/kafka/cases.tsv, which -update writes anew.

func writeKafkaCases(t *testing.T) {
	var out strings.Builder
	for _, c := range kafkaCases(t) {
		r, origin, compression := c.rules, "CLIENT", "producer"
		if r.FromCoordinator {
			origin = "COORDINATOR"
		}
		if r.Compression.Recode {
			compression = r.Compression.Codec.String()
		}
		fmt.Fprintf(&out, "%s\torigin=%s version=%d maxMessageBytes=%d compacted=%v timestampType=%s before=%d after=%d "+
			"compression=%s now=%d\t%x\n", c.name, origin, c.version, r.MaxMessageBytes, r.Compacted, r.TimestampType,
			r.BeforeMaxMillis, r.AfterMaxMillis, compression, testNow, c.bytes)
	}
	if err := os.WriteFile("testdata/kafka/cases.tsv", []byte(out.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func kafkaCases(t *testing.T) (cases []kafkaCase) {
	add := func(name string, bytes []byte, change func(c *kafkaCase)) {
		c := kafkaCase{name: name, rules: openRules(), version: 11, bytes: bytes}
		if change != nil {
			change(&c)
		}
		cases = append(cases, c)
	}
	requestCases(t, add)
	headerCases(t, add)
	structureCases(t, add)
	for _, codec := range allCodecs() {
		recordCases(t, codec, add)
		timestampCases(t, codec, add)
		recompressionCases(t, codec, add)
	}
	return cases
}

type addCase func(name string, bytes []byte, change func(c *kafkaCase))

func requestCases(t *testing.T, add addCase) {
	one := batchOf(t, BuilderOptions{}, 3)
	zstd := batchOf(t, BuilderOptions{Codec: Zstd}, 3)
	add("one batch", one, nil)
	add("nothing", nil, nil)
	add("less than a header", one[:20], nil)
	add("less than a length", one[:7], nil)
	add("less than the batch", one[:len(one)-1], nil)
	add("two batches", append(slices.Clone(one), one...), nil)
	add("a batch and a part of one", append(slices.Clone(one), one[:30]...), nil)
	add("a batch and four bytes", append(slices.Clone(one), 1, 2, 3, 4), nil)
	add("a batch and a wrong magic", append(slices.Clone(one), resealed(one, func(b Batch) { b[magicAt] = 9 })...), nil)
	add("zstd in version 6", zstd, func(c *kafkaCase) { c.version = 6 })
	add("zstd in version 7", zstd, func(c *kafkaCase) { c.version = 7 })
	for _, magic := range []byte{0, 1, 3, 255} {
		add(fmt.Sprint("magic ", magic), resealed(one, func(b Batch) { b[magicAt] = magic }), nil)
	}
	for _, length := range []int32{-1, 0, 13, 14, 48, math.MinInt32} {
		b := slices.Clone(one)
		binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(length))
		add(fmt.Sprint("length ", length), b, nil)
	}
}

func headerCases(t *testing.T, add addCase) {
	one := batchOf(t, BuilderOptions{}, 3)
	idempotent := batchOf(t, BuilderOptions{HasProducer: true, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 5}, 3)
	add("crc", func() Batch { b := slices.Clone(one); b[len(b)-1] ^= 1; return b }(), nil)
	add("base offset of a client", resealed(one, func(b Batch) { b.SetBaseOffset(5) }), nil)
	add("base offset and crc", func() Batch { b := slices.Clone(one); b.SetBaseOffset(1); b[50] ^= 1; return b }(), nil)
	add("leader epoch is nobody's business", resealed(one, func(b Batch) { b.SetPartitionLeaderEpoch(77) }), nil)
	add("too large", one, func(c *kafkaCase) { c.rules.MaxMessageBytes = len(one) - 1 })
	add("just large enough", one, func(c *kafkaCase) { c.rules.MaxMessageBytes = len(one) })
	add("too large and crc", func() Batch { b := slices.Clone(one); b[50] ^= 1; return b }(),
		func(c *kafkaCase) { c.rules.MaxMessageBytes = 100 })
	for _, codec := range []Attributes{5, 6, 7} {
		add(fmt.Sprint("codec unknown ", codec), resealed(one, func(b Batch) { b.setAttributes(codec) }), nil)
	}
	for _, delta := range []int32{-1, 0, 1, 3, math.MaxInt32, math.MinInt32} {
		add(fmt.Sprint("last offset delta ", delta), resealed(one, func(b Batch) { putInt32(b, lastOffsetDeltaAt, delta) }), nil)
	}
	for _, count := range []int32{-1, 0, 2, 4} {
		add(fmt.Sprint("count ", count), resealed(one, func(b Batch) { putInt32(b, countAt, count) }), nil)
		add(fmt.Sprint("count and range ", count), resealed(one, func(b Batch) {
			putInt32(b, countAt, count)
			putInt32(b, lastOffsetDeltaAt, count-1)
		}), nil)
	}
	add("control batch of a client", resealed(one, func(b Batch) { b.setAttributes(controlBit) }), nil)
	marker := EndTxnBatch(7, 1, testNow, EndTxnMarker{CommitMarker, 3})
	coordinator := func(c *kafkaCase) { c.rules.FromCoordinator = true }
	add("marker of the coordinator", marker, coordinator)
	add("marker on a topic of gzip", marker, func(c *kafkaCase) { coordinator(c); c.rules.Compression = Compression{true, Gzip, 0} })
	add("marker on a compacted topic", marker, func(c *kafkaCase) { coordinator(c); c.rules.Compacted = true })
	add("marker on a topic of LogAppendTime", marker, func(c *kafkaCase) { coordinator(c); c.rules.TimestampType = LogAppendTime })
	add("coordinator with crc", func() Batch { b := slices.Clone(marker); b[50] ^= 1; return b }(), coordinator)
	add("idempotent", idempotent, nil)
	add("transactional", batchOf(t, BuilderOptions{HasProducer: true, ProducerID: 7, Transactional: true}, 2), nil)
	for _, sequence := range []int32{-1, -2, math.MaxInt32} {
		add(fmt.Sprint("sequence ", sequence), resealed(idempotent, func(b Batch) { putInt32(b, baseSequenceAt, sequence) }), nil)
	}
	add("delete horizon of a client", resealed(one, func(b Batch) { b.setAttributes(deleteHorizonBit) }), nil)
	add("attributes beyond the known", resealed(one, func(b Batch) { b.setAttributes(0x1080) }), nil)
}

// structureCases break the records themselves. Compaction makes both sides look at each record.
func structureCases(t *testing.T, add addCase) {
	one := batchOf(t, BuilderOptions{}, 1)
	compacted := func(c *kafkaCase) { c.rules.Compacted = true }
	record := func(size int32, body ...byte) []byte { return append(appendVarint(nil, size), body...) }
	whole := []byte{0, 0, 0, 2, 'k', 2, 'v', 0} // attributes, two deltas, key, value, no headers
	payloads := map[string][]byte{
		"no bytes":                       {},
		"size beyond the batch":          record(20, whole...),
		"size beyond int32":              {0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"size negative":                  record(-5, whole...),
		"size zero":                      record(0),
		"bytes behind the records":       append(record(8, whole...), 0),
		"size ends":                      {0x80},
		"whole":                          record(8, whole...),
		"whole with attributes":          record(8, 0x7f, 0, 0, 2, 'k', 2, 'v', 0),
		"offset delta not zero":          record(8, 0, 0, 8, 2, 'k', 2, 'v', 0),
		"offset delta negative":          record(8, 0, 0, 7, 2, 'k', 2, 'v', 0),
		"timestamp delta too long":       record(17, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1, 0, 2, 'k', 2, 'v', 0),
		"key beyond the record":          record(8, 0, 0, 0, 40, 'k', 2, 'v', 0),
		"value beyond the record":        record(8, 0, 0, 0, 2, 'k', 40, 'v', 0),
		"key null":                       record(7, 0, 0, 0, 1, 2, 'v', 0),
		"key of another negative length": record(7, 0, 0, 0, 3, 2, 'v', 0),
		"key empty":                      record(7, 0, 0, 0, 0, 2, 'v', 0),
		"value null":                     record(7, 0, 0, 0, 2, 'k', 1, 0),
		"headers negative":               record(8, 0, 0, 0, 2, 'k', 2, 'v', 1),
		"headers more than bytes":        record(8, 0, 0, 0, 2, 'k', 2, 'v', 40),
		"headers cut":                    record(9, 0, 0, 0, 2, 'k', 2, 'v', 2, 20),
		"header":                         record(12, 0, 0, 0, 2, 'k', 2, 'v', 2, 2, 'h', 2, 'x'),
		"header with null value":         record(11, 0, 0, 0, 2, 'k', 2, 'v', 2, 2, 'h', 1),
		"header with null key":           record(11, 0, 0, 0, 2, 'k', 2, 'v', 2, 1, 2, 'x'),
		"bytes behind the headers":       record(9, 0, 0, 0, 2, 'k', 2, 'v', 0, 0),
		"size smaller than the record":   record(7, whole...),
	}
	for _, name := range slices.Sorted(maps.Keys(payloads)) {
		add("record: "+name, withPayload(one, payloads[name]), compacted)
	}
	// The same where no rule asks for a look into the records.
	add("unchecked record: key", withPayload(one, record(8, 0, 0, 0, 40, 'k', 2, 'v', 0)), nil)
	add("unchecked record: headers", withPayload(one, record(8, 0, 0, 0, 2, 'k', 2, 'v', 40)), nil)
	add("unchecked record: max timestamp", resealed(one, func(b Batch) { putInt64(b, maxTimestampAt, 5) }), nil)
	for _, codec := range allCodecs()[1:] {
		b := batchOf(t, BuilderOptions{Codec: codec}, 3)
		name := codec.String()
		add("payload not of "+name, withPayload(b, []byte("this is no frame of any codec at all")), compacted)
		add("count compressed "+name, resealed(b, func(b Batch) { putInt32(b, countAt, 2); putInt32(b, lastOffsetDeltaAt, 1) }), compacted)
		add("unchecked record: count "+name, resealed(b, func(b Batch) { putInt32(b, countAt, 2); putInt32(b, lastOffsetDeltaAt, 1) }), nil)
		gaps := NewBuilder(BuilderOptions{Codec: codec})
		gaps.AppendAt(3, testNow, []byte("a"), []byte("1"), []Header{{"h", nil}})
		gaps.AppendAt(7, testNow+1, []byte("b"), nil, nil)
		add("offset deltas with gaps "+name, resealed(mustBuild(t, gaps), func(b Batch) { putInt32(b, lastOffsetDeltaAt, 1) }), compacted)
	}
}

func recordCases(t *testing.T, codec Codec, add addCase) {
	name := " " + codec.String()
	compacted := func(c *kafkaCase) { c.rules.Compacted = true }
	add("compacted with keys"+name, batchOf(t, BuilderOptions{Codec: codec}, 5), compacted)
	add("many records"+name, batchOf(t, BuilderOptions{Codec: codec}, 300), compacted)
	b := NewBuilder(BuilderOptions{Codec: codec})
	for i := range 6 {
		var key []byte
		if i%3 == 1 {
			key = []byte("k")
		}
		b.Append(testNow, key, []byte("v"), nil)
	}
	add("compacted without keys"+name, mustBuild(t, b), compacted)
	add("compacted without keys, old timestamp"+name, mustBuild(t, b), func(c *kafkaCase) {
		compacted(c)
		c.rules.BeforeMaxMillis, c.rules.AfterMaxMillis = 0, 0
	})
}

func timestampCases(t *testing.T, codec Codec, add addCase) {
	name := " " + codec.String()
	of := func(timestamps ...int64) Batch {
		b := NewBuilder(BuilderOptions{Codec: codec})
		for _, ts := range timestamps {
			b.Append(ts, []byte("k"), []byte("v"), nil)
		}
		return mustBuild(t, b)
	}
	hour := func(c *kafkaCase) { c.rules.AfterMaxMillis = 3_600_000 }
	day := func(c *kafkaCase) { c.rules.BeforeMaxMillis = 86_400_000 }
	appendTime := func(c *kafkaCase) { c.rules.TimestampType = LogAppendTime }
	claims := func(b Batch) Batch {
		return resealed(b, func(b Batch) { b.setAttributes(b.Attributes() | timestampTypeBit) })
	}
	add("timestamp of tomorrow"+name, of(testNow, testNow+86_400_000, testNow+1), hour)
	add("timestamp at the upper bound"+name, of(testNow+3_600_000), hour)
	add("timestamp over the upper bound"+name, of(testNow+3_600_001), hour)
	add("timestamp of last week"+name, of(testNow, testNow-7*86_400_000), day)
	add("timestamp at the lower bound"+name, of(testNow, testNow-86_400_000), day)
	add("no timestamp"+name, of(-1, -1), func(c *kafkaCase) { hour(c); day(c) })
	add("timestamp without bounds"+name, of(1, math.MaxInt64/2), nil)
	add("log append time"+name, of(5, 7, 6), appendTime)
	add("log append time ignores bounds"+name, of(5, testNow*2), func(c *kafkaCase) { appendTime(c); hour(c); day(c) })
	add("claims log append time"+name, claims(of(5, 7)), nil)
	add("claims log append time on such a topic"+name, claims(of(5, 7)), appendTime)
	add("claims log append time without timestamp"+name, claims(of(-1)), nil)
	add("claims log append time of tomorrow"+name, claims(of(5, testNow+86_400_000)), hour)
	add("max timestamp too high"+name, resealed(of(testNow), func(b Batch) { putInt64(b, maxTimestampAt, testNow*2) }), hour)
}

func recompressionCases(t *testing.T, codec Codec, add addCase) {
	for _, target := range allCodecs() {
		add(fmt.Sprintf("recompression %s to %s", codec, target), batchOf(t, BuilderOptions{Codec: codec, HasProducer: true, ProducerID: 9,
			ProducerEpoch: 2, BaseSequence: 100, Transactional: true}, 20), func(c *kafkaCase) { c.rules.Compression = Compression{true, target, 0} })
		add(fmt.Sprintf("recompression at append time %s to %s", codec, target), batchOf(t, BuilderOptions{Codec: codec}, 4),
			func(c *kafkaCase) {
				c.rules.Compression, c.rules.TimestampType = Compression{true, target, 0}, LogAppendTime
			})
	}
	grows := batchOf(t, BuilderOptions{Codec: codec}, 300)
	add("recompression grows "+codec.String(), grows, func(c *kafkaCase) {
		c.rules.Compression, c.rules.MaxMessageBytes = Compression{true, None, 0}, len(grows)
	})
}

func putInt32(b Batch, at int, value int32) { binary.BigEndian.PutUint32(b[at:], uint32(value)) }
func putInt64(b Batch, at int, value int64) { binary.BigEndian.PutUint64(b[at:], uint64(value)) }
