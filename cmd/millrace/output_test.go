package main

import (
	"bytes"
	"testing"
)

func TestWriteFormatted(t *testing.T) {
	t.Parallel()
	type item struct {
		Name string  `json:"name"`
		Note *string `json:"note"`
	}
	yes := "yes" // a YAML boolean, unless it is quoted
	list := []item{{"a<b", nil}, {"b", &yes}}
	tab := newTable("NAME", "+NOTE")
	tab.row("a<b", "-")
	tab.row("b\x1b[2J", "yes")
	tests := []struct {
		format string
		value  any
		want   string
	}{
		{"table", list, "NAME\na<b\n\"b\\x1b[2J\"\n"},
		{"wide", list, "NAME        NOTE\na<b         -\n\"b\\x1b[2J\"  yes\n"},
		{"json", list[:1], "[\n  {\n    \"name\": \"a<b\",\n    \"note\": null\n  }\n]\n"},
		{"json", []item(nil), "[]\n"},
		{"jsonl", list, "{\"name\":\"a<b\",\"note\":null}\n{\"name\":\"b\",\"note\":\"yes\"}\n"},
		{"jsonl", list[0], "{\"name\":\"a<b\",\"note\":null}\n"},
		{"yaml", list, "- name: a<b\n  note: null\n- name: b\n  note: \"yes\"\n"},
	}
	for _, test := range tests {
		var out bytes.Buffer
		if err := writeFormatted(&out, test.format, test.value, tab); err != nil || out.String() != test.want {
			t.Errorf("%s: %q, %v; want %q", test.format, out.String(), err, test.want)
		}
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 30: "5.0 GiB", 1 << 60: "1024.0 PiB"} {
		if got := byteSize(n); got != want {
			t.Errorf("byteSize(%d) = %q, want %q", n, got, want)
		}
	}
}
