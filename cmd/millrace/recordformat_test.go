package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestKcatVerbs(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"%s", "%v"},
		{"%S %s", "%V %v"},
		{"%%s", "%%s"},
		{"%v{base64}", "%v{base64}"},
		{"%k:%s\\n", "%k:%v\\n"},
		{"%", "%"},
		{"plain s", "plain s"},
	}
	for _, test := range tests {
		if got := kcatVerbs(test.in); got != test.want {
			t.Errorf("kcatVerbs(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

// TestRecordWriterForAPerson: on a terminal the JSON is indented, elsewhere it is one line.
func TestRecordWriterForAPerson(t *testing.T) {
	t.Parallel()
	r := &kgo.Record{Topic: "t", Timestamp: time.UnixMilli(1), Value: []byte("v")}
	for person, want := range map[bool]string{
		true:  "{\n  \"topic\": \"t\",\n  \"partition\": 0,\n  \"offset\": 0,\n  \"timestamp\": 1,\n  \"key\": null,\n  \"value\": \"v\"\n}\n",
		false: `{"topic":"t","partition":0,"offset":0,"timestamp":1,"key":null,"value":"v"}` + "\n",
	} {
		var out bytes.Buffer
		w, err := newRecordWriter(&out, "", "", false, person)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.write(r); err != nil {
			t.Fatal(err)
		}
		if err := w.out.Flush(); err != nil || out.String() != want {
			t.Errorf("person %v: %q, want %q", person, out.String(), want)
		}
	}
}
