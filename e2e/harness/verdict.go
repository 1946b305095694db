package harness

import (
	"bufio"
	"encoding/json"
	"io"
	"regexp"
	"strings"
)

// A fault in a log: the line that shows it, and what it shows.
type fault struct {
	kind string // "panic", "BUG", "data race" or "ERROR"
	line string
}

var (
	panicLine = regexp.MustCompile(`^(panic: |fatal error: |runtime error: |goroutine \d+ \[running)`)
	errorLine = regexp.MustCompile(`(^|\s)level=ERROR(\s|$)|^\S*\s*ERROR\s|"level":"ERROR"`)
)

// judgeLog reads a log of Millrace and returns its faults. A line that matches one of allowed is no ERROR fault; panics,
// races and BUG lines are never allowed.
func judgeLog(r io.Reader, allowed []*regexp.Regexp) ([]fault, error) {
	var faults []fault
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if kind := faultKind(line, allowed); kind != "" {
			faults = append(faults, fault{kind: kind, line: line})
		}
	}
	return faults, lines.Err()
}

func faultKind(line string, allowed []*regexp.Regexp) string {
	switch {
	case panicLine.MatchString(line):
		return "panic"
	case strings.Contains(line, "WARNING: DATA RACE"):
		return "data race"
	case strings.Contains(line, "BUG:"):
		return "BUG"
	case !isError(line):
		return ""
	}
	for _, pattern := range allowed {
		if pattern.MatchString(line) {
			return ""
		}
	}
	return "ERROR"
}

// isError knows slog's text and JSON forms.
func isError(line string) bool {
	if strings.HasPrefix(line, "{") {
		var entry struct {
			Level string `json:"level"`
		}
		return json.Unmarshal([]byte(line), &entry) == nil && entry.Level == "ERROR"
	}
	return errorLine.MatchString(line)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
