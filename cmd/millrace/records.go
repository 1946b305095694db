package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A record as JSON, the same to read and to write:
//
//	{"topic":"t","partition":0,"offset":7,"timestamp":1767225600000,"key":"k","value":"v","headers":[{"key":"h","value":"x"}]}
//
// null is null, "" is empty, "null" is four letters. Bytes that are not UTF-8 are in key_base64, value_base64 instead.
// offset is ignored when it is read back.

// appendRecordJSON appends one line, without the newline.
func appendRecordJSON(b []byte, r *kgo.Record, metaOnly bool) []byte {
	b = append(b, `{"topic":`...)
	b = appendJSONString(b, r.Topic)
	b = append(b, `,"partition":`...)
	b = strconv.AppendInt(b, int64(r.Partition), 10)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, r.Offset, 10)
	b = append(b, `,"timestamp":`...)
	b = strconv.AppendInt(b, r.Timestamp.UnixMilli(), 10)
	if metaOnly {
		b = append(b, `,"key_size_bytes":`...)
		b = strconv.AppendInt(b, int64(len(r.Key)), 10)
		b = append(b, `,"value_size_bytes":`...)
		b = strconv.AppendInt(b, int64(len(r.Value)), 10)
		return append(b, '}')
	}
	b = appendJSONBytes(append(b, ','), "key", r.Key)
	b = appendJSONBytes(append(b, ','), "value", r.Value)
	if len(r.Headers) > 0 {
		b = append(b, `,"headers":[`...)
		for i, h := range r.Headers {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSONBytes(append(b, '{'), "key", []byte(h.Key))
			b = appendJSONBytes(append(b, ','), "value", h.Value)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendJSONBytes appends "name":null, "name":"text" or "name_base64":"...".
func appendJSONBytes(b []byte, name string, data []byte) []byte {
	b = append(b, '"')
	b = append(b, name...)
	switch {
	case data == nil:
		return append(b, `":null`...)
	case utf8.Valid(data):
		return appendJSONString(append(b, `":`...), string(data))
	}
	b = append(b, `_base64":"`...)
	b = base64.StdEncoding.AppendEncode(b, data)
	return append(b, '"')
}

// appendJSONString appends valid UTF-8 with the escapes that JSON asks for.
func appendJSONString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c < 0x20 || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// jsonRecord is what can be read. RawMessage keeps apart absent, null and "".
type jsonRecord struct {
	Topic       string          `json:"topic"`
	Partition   *int32          `json:"partition"`
	Offset      *int64          `json:"offset"`
	Timestamp   json.RawMessage `json:"timestamp"`
	Key         json.RawMessage `json:"key"`
	KeyBase64   *string         `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 *string         `json:"value_base64"`
	Headers     []jsonHeader    `json:"headers"`
}

type jsonHeader struct {
	Key         json.RawMessage `json:"key"`
	KeyBase64   *string         `json:"key_base64"`
	Value       json.RawMessage `json:"value"`
	ValueBase64 *string         `json:"value_base64"`
}

// noPartition marks a record whose JSON names no partition.
const noPartition = -1

// parseRecordJSON reads one record. A value that is an object, array, number or boolean is sent as its compact JSON text.
func parseRecordJSON(data []byte) (*kgo.Record, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8; put other bytes into key_base64 and value_base64")
	}
	var in jsonRecord
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		return nil, jsonTrouble(err)
	}
	r := &kgo.Record{Topic: in.Topic, Partition: noPartition}
	if in.Partition != nil {
		r.Partition = *in.Partition
	}
	var err error
	if r.Timestamp, err = parseRecordTime(in.Timestamp); err != nil {
		return nil, err
	}
	if r.Key, err = jsonBytes("key", in.Key, in.KeyBase64); err != nil {
		return nil, err
	}
	if r.Value, err = jsonBytes("value", in.Value, in.ValueBase64); err != nil {
		return nil, err
	}
	for i, h := range in.Headers {
		key, err := jsonBytes("key", h.Key, h.KeyBase64)
		if err == nil && key == nil {
			err = errors.New("key is missing")
		}
		if err != nil {
			return nil, fmt.Errorf("header %d: %w", i+1, err)
		}
		value, err := jsonBytes("value", h.Value, h.ValueBase64)
		if err != nil {
			return nil, fmt.Errorf("header %d: %w", i+1, err)
		}
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(key), Value: value})
	}
	return r, nil
}

func jsonBytes(name string, raw json.RawMessage, encoded *string) ([]byte, error) {
	if encoded != nil {
		if len(raw) > 0 {
			return nil, fmt.Errorf("both %s and %s_base64 are given", name, name)
		}
		data, err := base64.StdEncoding.DecodeString(*encoded)
		if err != nil {
			return nil, fmt.Errorf("%s_base64: %w", name, err)
		}
		return data, nil
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if raw[0] == '"' {
		var text string
		err := json.Unmarshal(raw, &text)
		return []byte(text), err
	}
	var compact bytes.Buffer
	err := json.Compact(&compact, raw)
	return compact.Bytes(), err
}

// parseRecordTime reads Unix milliseconds or RFC 3339; absent means now, which the client fills in.
func parseRecordTime(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return time.Time{}, nil
	}
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return time.Time{}, fmt.Errorf("timestamp: %w", err)
		}
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return time.Time{}, fmt.Errorf("timestamp %s is neither Unix milliseconds nor RFC 3339", quote(text))
		}
		return t, nil
	}
	millis, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("timestamp %s is neither Unix milliseconds nor RFC 3339", raw)
	}
	return time.UnixMilli(millis), nil
}

// jsonTrouble says in our words what encoding/json found.
func jsonTrouble(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("field %s cannot be a JSON %s", quote(kind.Field), kind.Value)
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s (fields: topic, partition, offset, timestamp, key, key_base64, value, value_base64, headers)", field)
	}
	return err
}
