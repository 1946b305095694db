package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordSource reads what produce sends; io.EOF ends it.
type recordSource interface {
	next() (*kgo.Record, error)
}

// maxInputRecordBytes bounds one line or the whole of a raw input: no broker takes more in one record.
const maxInputRecordBytes = 128 << 20

// source chooses how to read the input.
func (o *produceOptions) source(in io.Reader) (recordSource, error) {
	if o.recordFormat != "" {
		if o.input != "lines" {
			return nil, usagef("--record-format cannot be combined with --input %s", o.input)
		}
		reader, err := kgo.NewRecordReader(in, kcatVerbs(o.recordFormat))
		if err != nil {
			return nil, usagef("--record-format: %v\nSee the verbs: millrace produce --help", err)
		}
		return &formatSource{reader}, nil
	}
	switch o.input {
	case "lines":
		lines := bufio.NewScanner(in)
		lines.Buffer(make([]byte, 0, 64<<10), maxInputRecordBytes)
		lines.Split(splitLines)
		return &lineSource{lines}, nil
	case "json":
		return &jsonSource{json.NewDecoder(bufio.NewReaderSize(in, 64<<10))}, nil
	case "raw":
		return &rawSource{in: in}, nil
	}
	return nil, usagef("--input %s: want lines, json or raw", o.input)
}

type lineSource struct{ lines *bufio.Scanner }

func (s *lineSource) next() (*kgo.Record, error) {
	if !s.lines.Scan() {
		if err := s.lines.Err(); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	return &kgo.Record{Partition: noPartition, Value: append([]byte{}, s.lines.Bytes()...)}, nil
}

// splitLines splits at \n only: a \r belongs to the value.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

type jsonSource struct{ values *json.Decoder }

func (s *jsonSource) next() (*kgo.Record, error) {
	var raw json.RawMessage
	if err := s.values.Decode(&raw); err != nil {
		return nil, err
	}
	return parseRecordJSON(raw)
}

type formatSource struct{ reader *kgo.RecordReader }

func (s *formatSource) next() (*kgo.Record, error) {
	r := &kgo.Record{Partition: noPartition}
	if err := s.reader.ReadRecordInto(r); err != nil {
		return nil, err
	}
	return r, nil
}

type rawSource struct {
	in   io.Reader
	done bool
}

func (s *rawSource) next() (*kgo.Record, error) {
	if s.done {
		return nil, io.EOF
	}
	s.done = true
	data, err := io.ReadAll(io.LimitReader(s.in, maxInputRecordBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxInputRecordBytes {
		return nil, fmt.Errorf("the input is larger than %s", byteSize(maxInputRecordBytes))
	}
	return &kgo.Record{Partition: noPartition, Value: data}, nil
}
