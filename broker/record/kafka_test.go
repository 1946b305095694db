package record

import (
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
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
