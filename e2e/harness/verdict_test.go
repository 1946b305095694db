package harness

import (
	"regexp"
	"strings"
	"testing"
)

func TestJudgeLogNamesFaultsAndLetsAllowedErrorsPass(t *testing.T) {
	allowed := []*regexp.Regexp{regexp.MustCompile(`log directory offline`)}
	for _, test := range []struct {
		line, kind string
	}{
		{`time=2026-11-23T10:00:00Z level=INFO msg="broker ready"`, ""},
		{`time=2026-11-23T10:00:00Z level=ERROR msg="read request" error=EOF`, "ERROR"},
		{`time=2026-11-23T10:00:00Z level=ERROR msg="log directory offline"`, ""},
		{`{"time":"2026-11-23T10:00:00Z","level":"ERROR","msg":"x"}`, "ERROR"},
		{`{"time":"2026-11-23T10:00:00Z","level":"WARN","msg":"level ERROR in a message"}`, ""},
		{`panic: runtime error: index out of range [3]`, "panic"},
		{`goroutine 17 [running]:`, "panic"},
		{`fatal error: all goroutines are asleep - deadlock!`, "panic"},
		{`level=ERROR msg="BUG: log directory offline twice"`, "BUG"},
		{`WARNING: DATA RACE`, "data race"},
		{`level=INFO msg="the client said ERROR politely"`, ""},
	} {
		faults, err := judgeLog(strings.NewReader(test.line+"\n"), allowed)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(faults) > 0 {
			got = faults[0].kind
		}
		if got != test.kind {
			t.Errorf("%s: judged %q, want %q", test.line, got, test.kind)
		}
	}
}

func TestLastLinesKeepsTheEnd(t *testing.T) {
	if got := lastLines("a\nb\nc\n", 2); got != "b\nc" {
		t.Errorf("last two lines are %q", got)
	}
	if got := lastLines("a", 5); got != "a" {
		t.Errorf("one line became %q", got)
	}
}
