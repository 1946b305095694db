package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// compareRecords keeps nil and empty apart, and ignores what no producer sets.
func compareRecords(want, got *kgo.Record) string {
	return cmp.Diff(want, got, cmpopts.IgnoreUnexported(kgo.Record{}), cmpopts.IgnoreFields(kgo.Record{}, "Context", "Offset", "Attrs"))
}

// TestRecordJSONRoundTrip: any record comes back as it was, and its line is valid JSON.
func TestRecordJSONRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.Custom(func(t *rapid.T) []byte {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				return nil
			case 1:
				return []byte{}
			case 2:
				return []byte(rapid.String().Draw(t, "text"))
			}
			return rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "bytes")
		})
		r := &kgo.Record{
			Topic:     rapid.StringMatching(`[a-zA-Z0-9._-]{1,20}`).Draw(t, "topic"),
			Partition: rapid.Int32Min(0).Draw(t, "partition"),
			Offset:    rapid.Int64Min(0).Draw(t, "offset"),
			Timestamp: time.UnixMilli(rapid.Int64Range(-1, 1<<50).Draw(t, "timestamp")),
			Key:       data.Draw(t, "key"),
			Value:     data.Draw(t, "value"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(data.Draw(t, "header")), Value: data.Draw(t, "header value")})
		}
		line := appendRecordJSON(nil, r, false)
		if !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
		got, err := parseRecordJSON(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		// a header key is never null: Kafka's is a string
		if diff := compareRecords(r, got); diff != "" {
			t.Fatalf("%s: %s", line, diff)
		}
	})
}

func TestParseRecordJSON(t *testing.T) {
	t.Parallel()
	record := func(key, value []byte) *kgo.Record {
		return &kgo.Record{Partition: noPartition, Key: key, Value: value}
	}
	tests := []struct {
		text string
		want *kgo.Record
	}{
		{`{}`, record(nil, nil)},
		{`{"key":null,"value":null}`, record(nil, nil)},
		{`{"key":"","value":"null"}`, record([]byte{}, []byte("null"))},
		{`{"key_base64":"","value_base64":"/w=="}`, record([]byte{}, []byte{0xff})},
		{`{"key":12345678901234567890,"value":{"a": [1, 2]}}`, record([]byte("12345678901234567890"), []byte(`{"a":[1,2]}`))},
		{`{"key":true,"value":[]}`, record([]byte("true"), []byte("[]"))},
	}
	for _, test := range tests {
		got, err := parseRecordJSON([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.text, err)
			continue
		}
		if diff := compareRecords(test.want, got); diff != "" {
			t.Errorf("%s: %s", test.text, diff)
		}
	}
	times, err := parseRecordJSON([]byte(`{"timestamp":"2026-01-31T12:00:00Z"}`))
	if err != nil || !times.Timestamp.Equal(testNow) {
		t.Errorf("RFC 3339: %v, %v", times, err)
	}
}

func TestParseRecordJSONRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, message string }{
		{`{"vlaue":1}`, `unknown field "vlaue"`},
		{`{"partition":"x"}`, `field "partition" cannot be a JSON string`},
		{`{"key":"a","key_base64":"YQ=="}`, "both key and key_base64"},
		{`{"value_base64":"!"}`, "value_base64: illegal base64"},
		{`{"timestamp":"noon"}`, "neither Unix milliseconds nor RFC 3339"},
		{`{"timestamp":1.5}`, "neither Unix milliseconds nor RFC 3339"},
		{`{"headers":[{"value":"v"}]}`, "header 1: key is missing"},
		{`{"headers":[{"key":"k","value":"v","value_base64":"YQ=="}]}`, "header 1: both value"},
		{`[]`, "array"},
		{"{\"value\":\"\xff\"}", "not UTF-8"},
	}
	for _, test := range tests {
		if _, err := parseRecordJSON([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.message) {
			t.Errorf("%q: error %v, want %q in it", test.text, err, test.message)
		}
	}
}

// FuzzParseRecordJSON: what is accepted can be written and read again without a change.
func FuzzParseRecordJSON(f *testing.F) {
	for _, seed := range []string{`{}`, `{"key":"k","value":{"a":1},"headers":[{"key":"h","value":null}]}`, `{"timestamp":-5,"value_base64":"/w=="}`, `{"value":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		first, err := parseRecordJSON(data)
		if err != nil {
			return
		}
		if first.Timestamp.IsZero() {
			first.Timestamp = time.UnixMilli(0)
		}
		if first.Timestamp != time.UnixMilli(first.Timestamp.UnixMilli()) {
			first.Timestamp = time.UnixMilli(first.Timestamp.UnixMilli()) // finer than Kafka keeps
		}
		second, err := parseRecordJSON(appendRecordJSON(nil, first, false))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if diff := compareRecords(first, second); diff != "" {
			t.Fatal(diff)
		}
	})
}
