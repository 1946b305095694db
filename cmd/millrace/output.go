package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// formats are the values of --format.
func formats() []string { return []string{"table", "wide", "json", "jsonl", "yaml"} }

// table is what a person sees. A header that begins with + is shown by --format wide only.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

// row adds one row; cells are printed with %v, control characters quoted.
func (t *table) row(cells ...any) {
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = printable(fmt.Sprint(c))
	}
	t.rows = append(t.rows, out)
}

func (t *table) write(w io.Writer, wide bool) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	line := func(cells []string, heading bool) {
		var shown []string
		for i, cell := range cells {
			if hidden := strings.HasPrefix(t.header[i], "+"); hidden && !wide {
				continue
			} else if heading {
				cell = strings.TrimPrefix(cell, "+")
			}
			shown = append(shown, cell)
		}
		fmt.Fprintln(tw, strings.Join(shown, "\t"))
	}
	line(t.header, true)
	for _, r := range t.rows {
		line(r, false)
	}
	return tw.Flush()
}

// printable keeps a name that a client chose from moving the cursor of the terminal.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}

// writeFormatted writes value for programs or tables for people.
func writeFormatted(w io.Writer, format string, value any, tables ...*table) error {
	switch format {
	case "json":
		return writeJSON(w, value, "  ")
	case "jsonl":
		return writeJSONLines(w, value)
	case "yaml":
		return writeYAML(w, value)
	}
	var buf bytes.Buffer
	for i, t := range tables {
		if i > 0 {
			buf.WriteByte('\n')
		}
		if err := t.write(&buf, format == "wide"); err != nil {
			return err
		}
	}
	_, err := w.Write(trimLines(buf.Bytes()))
	return err
}

// trimLines drops the padding that the table writer leaves at the end of a line.
func trimLines(b []byte) []byte {
	lines := bytes.Split(b, []byte("\n"))
	for i, l := range lines {
		lines[i] = bytes.TrimRight(l, " ")
	}
	return bytes.Join(lines, []byte("\n"))
}

func writeJSON(w io.Writer, value any, indent string) error {
	v := reflect.ValueOf(value)
	if v.Kind() == reflect.Slice && v.IsNil() {
		value = []any{} // an empty list is [], never null
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(value)
}

// writeJSONLines writes one line per element of a list, or one line.
func writeJSONLines(w io.Writer, value any) error {
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Slice {
		return writeJSON(w, value, "")
	}
	for i := range v.Len() {
		if err := writeJSON(w, v.Index(i).Interface(), ""); err != nil {
			return err
		}
	}
	return nil
}

// writeYAML goes through JSON, so that both formats have the same names in the same order.
func writeYAML(w io.Writer, value any) error {
	var buf bytes.Buffer
	if err := writeJSON(&buf, value, ""); err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(buf.Bytes(), &doc); err != nil {
		return err
	}
	blockStyle(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return err
	}
	return enc.Close()
}

// yamlBoolean tells words that YAML 1.1 reads as booleans: they stay quoted.
func yamlBoolean(word string) bool {
	switch strings.ToLower(word) {
	case "y", "n", "yes", "no", "on", "off":
		return true
	}
	return false
}

func blockStyle(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" && !yamlBoolean(n.Value) {
		n.Style = 0
	} else if len(n.Content) > 0 {
		n.Style &^= yaml.FlowStyle
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}
