package record

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
)

var updateCases = flag.Bool("update", false, "write testdata/kafka/cases.tsv anew; then run Oracle.java")

// kafkaCase is one question to Kafka: these bytes, under these rules.
type kafkaCase struct {
	name    string
	rules   Rules
	version int16
	bytes   []byte
}

// deviations are the answers that we give otherwise on purpose, by prefix of the case's name.
func deviations() map[string]string {
	return map[string]string{
		"codec unknown":             "Kafka fails with UNKNOWN_SERVER_ERROR, which it did not mean; we say what is wrong",
		"payload not of":            "likewise",
		"record: size beyond int32": "likewise",
		"offset deltas with gaps":   "Kafka means to renumber the records and fails with UNKNOWN_SERVER_ERROR; we renumber",
		"unchecked record":          "only lengths are looked at unless a rule needs the records; Rules.EveryRecord does as Kafka",
	}
}

func TestAgreesWithKafka(t *testing.T) {
	if *updateCases {
		writeKafkaCases(t)
	}
	answers := readAnswers(t)
	codes := map[string]int{}
	for _, c := range readKafkaCases(t) {
		t.Run(c.name, func(t *testing.T) {
			want, ok := answers[c.name]
			if !ok {
				t.Fatal("Kafka was not asked: see testdata/kafka/README.md")
			}
			codes[want.code]++
			got, err := produce(c)
			for prefix := range deviations() {
				if strings.HasPrefix(c.name, prefix) {
					checkDeviation(t, c, got, err, want)
					return
				}
			}
			compareAnswers(t, got, err, want)
		})
	}
	for _, code := range []string{"NONE", "INVALID_RECORD", "CORRUPT_MESSAGE", "MESSAGE_TOO_LARGE", "INVALID_TIMESTAMP",
		"UNSUPPORTED_COMPRESSION_TYPE"} {
		if codes[code] == 0 {
			t.Errorf("no case is answered %s", code)
		}
	}
}

// produce does what the broker does with one partition of a Produce request.
func produce(c kafkaCase) (Batch, error) {
	var v Validator
	b := Batch(slices.Clone(c.bytes))
	if !c.rules.FromCoordinator {
		var err error
		if b, err = SplitProduced(b, c.version); err != nil {
			return nil, err
		}
	}
	return v.Check(b, &c.rules, testNow)
}

func checkDeviation(t *testing.T, c kafkaCase, got Batch, err error, want answer) {
	if strings.HasPrefix(c.name, "unchecked") {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		c.rules.EveryRecord = true
		got, err := produce(c)
		compareAnswers(t, got, err, want)
		return
	}
	if want.code != "UNKNOWN_SERVER_ERROR" {
		t.Fatalf("Kafka answers %s: no reason to deviate", want.code)
	}
	if strings.HasPrefix(c.name, "offset deltas") {
		for i, r := range collect(t, got) {
			if r.OffsetDelta != int32(i) {
				t.Errorf("record %d has offset delta %d", i, r.OffsetDelta)
			}
		}
		return
	}
	if !errors.Is(err, kerr.InvalidRecord) && !errors.Is(err, kerr.UnsupportedCompressionType) {
		t.Fatalf("we answer %v", err)
	}
}

func compareAnswers(t *testing.T, got Batch, err error, want answer) {
	t.Helper()
	if want.code == "NONE" {
		if err != nil {
			t.Fatalf("refused, Kafka takes it: %v", err)
		}
		compareBatches(t, got, want.batch)
		return
	}
	var refusal *InvalidBatchError
	if !errors.As(err, &refusal) {
		t.Fatalf("got %v, Kafka answers %s: %s", err, want.code, want.message)
	}
	if refusal.Err.Message != want.code {
		t.Fatalf("%v, Kafka answers %s: %s", err, want.code, want.message)
	}
	var recordErrors []string
	for _, e := range refusal.RecordErrors {
		recordErrors = append(recordErrors, fmt.Sprintf("%d:%s", e.Index, e.Message))
	}
	want.recordErrors = strings.ReplaceAll(want.recordErrors, "PartialDefaultRecord", "DefaultRecord")
	if got := strings.Join(recordErrors, "|"); got != want.recordErrors {
		t.Errorf("record errors\n got %s\nwant %s", got, want.recordErrors)
	}
	if refusal.Message != want.message && !differsInWords(want.message) {
		t.Errorf("message\n got %s\nwant %s", refusal.Message, want.message)
	}
}

// differsInWords lists messages of Kafka that we do not repeat word by word.
func differsInWords(message string) bool {
	for _, ours := range []string{
		"which exceeds the maximum configured", // has a stray bracket, or misses a space
		"is less than the minimum record overhead",
		"Invalid record size: expected to read",
		"Invalid record size: expected -",
		"Invalid magic found in record: 101", // of what follows a batch that is too short
		"Found invalid record structure",     // of a record so short that we name its size
		"Invalid negative header key size",
		"Record is corrupt (stored crc",
		"Reached end of input stream before skipping",
		"Incorrect declared batch size, premature EOF",
		"Found invalid number of record headers",
		"Invalid record size: expected",
	} {
		if strings.Contains(message, ours) {
			return true
		}
	}
	return false
}

// compareBatches demands the same header and records; compressed bytes differ between libraries.
func compareBatches(t *testing.T, got, want Batch) {
	t.Helper()
	got.SetPartitionLeaderEpoch(want.PartitionLeaderEpoch())
	got.SetBaseOffset(want.BaseOffset())
	if err := got.VerifyCRC(); err != nil {
		t.Error(err)
	}
	if got.Attributes().Codec() == None && string(got) != string(want) {
		t.Errorf("bytes\n got %x\nwant %x", []byte(got), []byte(want))
	}
	type header struct {
		LastOffsetDelta, BaseSequence, Count int32
		BaseTimestamp, MaxTimestamp          int64
		ProducerID                           int64
		ProducerEpoch                        int16
		Attributes                           Attributes
	}
	of := func(b Batch) header {
		return header{b.LastOffsetDelta(), b.BaseSequence(), b.Count(), b.BaseTimestamp(), b.MaxTimestamp(),
			b.ProducerID(), b.ProducerEpoch(), b.Attributes()}
	}
	if diff := cmp.Diff(of(want), of(got)); diff != "" {
		t.Errorf("header (-Kafka +ours):\n%s", diff)
	}
	if diff := cmp.Diff(collect(t, want), collect(t, got)); diff != "" {
		t.Errorf("records (-Kafka +ours):\n%s", diff)
	}
}

type answer struct {
	code, message, recordErrors string
	batch                       Batch
}

func readAnswers(t *testing.T) map[string]answer {
	answers := map[string]answer{}
	for _, columns := range readTSV(t, "testdata/kafka/answers.tsv", 5) {
		batch, err := hex.DecodeString(columns[4])
		if err != nil {
			t.Fatal(err)
		}
		answers[columns[0]] = answer{columns[1], columns[2], columns[3], batch}
	}
	return answers
}

func readKafkaCases(t *testing.T) (cases []kafkaCase) {
	for _, columns := range readTSV(t, "testdata/kafka/cases.tsv", 3) {
		c := kafkaCase{name: columns[0]}
		var err error
		if c.bytes, err = hex.DecodeString(columns[2]); err != nil {
			t.Fatal(err)
		}
		parseRules(t, columns[1], &c)
		cases = append(cases, c)
	}
	return cases
}

func readTSV(t *testing.T, name string, columns int) (rows [][]string) {
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		row := strings.Split(line, "\t")
		if len(row) != columns {
			t.Fatalf("%s: %d columns in %.80q", name, len(row), line)
		}
		rows = append(rows, row)
	}
	return rows
}

func parseRules(t *testing.T, text string, c *kafkaCase) {
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	r := &c.rules
	r.TopicPartition, r.ZstdAllowed = "orders-0", true
	for _, pair := range strings.Fields(text) {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "origin":
			r.FromCoordinator = value == "COORDINATOR"
		case "version":
			c.version = int16(number(value))
			r.ZstdAllowed = c.version >= 7
		case "maxMessageBytes":
			r.MaxMessageBytes = int(number(value))
		case "compacted":
			r.Compacted = value == "true"
		case "timestampType":
			if value == "LogAppendTime" {
				r.TimestampType = LogAppendTime
			}
		case "before":
			r.BeforeMaxMillis = number(value)
		case "after":
			r.AfterMaxMillis = number(value)
		case "compression":
			r.Compression = compressionNamed(value)
		}
	}
}

func compressionNamed(name string) Compression {
	for _, codec := range allCodecs() {
		if codec.String() == name {
			return Compression{Recode: true, Codec: codec}
		}
	}
	return Compression{}
}

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
