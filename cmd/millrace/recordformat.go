package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordFormatHelp explains --record-format in --help.
const recordFormatHelp = `Record format (-f), as in rpk and kcl; kcat's %s and %S are %v and %V:
  %t topic   %p partition  %o offset  %d timestamp (ms)  %d{go[2006-01-02T15:04:05Z07:00]}
  %k key     %v value      %K %V their sizes             %k{base64} %v{hex} %v{json}
  %h{%k=%v } headers       %H number of headers          \n \t \xNN %% escapes`

// kcatVerbs turns kcat's %s and %S into %v and %V, which the formatter and the reader know.
func kcatVerbs(layout string) string {
	var b strings.Builder
	for i := 0; i < len(layout); i++ {
		b.WriteByte(layout[i])
		if layout[i] != '%' || i+1 == len(layout) {
			continue
		}
		i++
		switch layout[i] {
		case 's':
			b.WriteByte('v')
		case 'S':
			b.WriteByte('V')
		default:
			b.WriteByte(layout[i])
		}
	}
	return b.String()
}

// recordWriter writes records as consume was asked to.
type recordWriter struct {
	out    *bufio.Writer
	append func(b []byte, r *kgo.Record) []byte
	buf    []byte
}

func (w *recordWriter) write(r *kgo.Record) error {
	w.buf = w.append(w.buf[:0], r)
	_, err := w.out.Write(w.buf)
	return err
}

// newRecordWriter chooses: a record format, else JSON, one line per record or, for a person, indented.
func newRecordWriter(out io.Writer, layout, format string, metaOnly, person bool) (*recordWriter, error) {
	w := &recordWriter{out: bufio.NewWriterSize(out, 64<<10)}
	if layout != "" {
		f, err := kgo.NewRecordFormatter(kcatVerbs(layout))
		if err != nil {
			return nil, usagef("--record-format: %v\nSee the verbs: millrace consume --help", err)
		}
		w.append = f.AppendRecord
		return w, nil
	}
	line := func(b []byte, r *kgo.Record) []byte { return append(appendRecordJSON(b, r, metaOnly), '\n') }
	switch {
	case format == "yaml":
		w.append = func(b []byte, r *kgo.Record) []byte { return appendRecordYAML(b, r, metaOnly) }
	case format == "" && person:
		w.append = func(b []byte, r *kgo.Record) []byte { return appendIndented(b, line(nil, r)) }
	default:
		w.append = line
	}
	return w, nil
}

// appendRecordYAML appends one document with the same names as the JSON.
func appendRecordYAML(b []byte, r *kgo.Record, metaOnly bool) []byte {
	var doc bytes.Buffer
	if err := writeYAML(&doc, json.RawMessage(appendRecordJSON(nil, r, metaOnly))); err != nil {
		return fmt.Appendf(b, "# %v\n", err)
	}
	return append(append(b, "---\n"...), doc.Bytes()...)
}

func appendIndented(b, line []byte) []byte {
	var out bytes.Buffer
	if err := json.Indent(&out, line, "", "  "); err != nil {
		return append(b, line...)
	}
	return append(b, out.Bytes()...)
}
