package oracle

import (
	"fmt"
	"regexp"
	"strings"
)

// Reviewed is one entry of differences.txt: why some differences stay, and which they are.
type Reviewed struct {
	Reason   string
	Patterns []*regexp.Regexp
	lines    []int // of the patterns
	used     []bool
}

// ParseReviewed reads differences.txt: a reason in unindented lines, then one indented pattern or more, each a regular
// expression that a whole difference must match. "#" starts a comment line.
func ParseReviewed(text string) ([]*Reviewed, error) {
	var entries []*Reviewed
	inReason := false
	for i, line := range strings.Split(text, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
		case strings.TrimSpace(line) == "":
			inReason = false
		case line[0] != ' ' && line[0] != '\t':
			if !inReason {
				entries = append(entries, &Reviewed{})
			}
			inReason = true
			last := entries[len(entries)-1]
			last.Reason = strings.TrimSpace(last.Reason + " " + line)
		case len(entries) == 0:
			return nil, fmt.Errorf("line %d: a pattern without a reason", i+1)
		default:
			pattern, err := regexp.Compile("^(?:" + strings.TrimSpace(line) + ")$")
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", i+1, err)
			}
			inReason = false
			last := entries[len(entries)-1]
			last.Patterns, last.lines, last.used = append(last.Patterns, pattern), append(last.lines, i+1), append(last.used, false)
		}
	}
	for _, entry := range entries {
		if len(entry.Patterns) == 0 {
			return nil, fmt.Errorf("reason without a pattern: %s", entry.Reason)
		}
	}
	return entries, nil
}

// Review returns the differences that no entry explains.
func Review(entries []*Reviewed, differences []Difference) []Difference {
	var unexplained []Difference
	for _, d := range differences {
		explained := false
		for _, entry := range entries {
			for i, pattern := range entry.Patterns {
				if pattern.MatchString(d.String()) {
					entry.used[i], explained = true, true
				}
			}
		}
		if !explained {
			unexplained = append(unexplained, d)
		}
	}
	return unexplained
}

// Unused names the patterns that no difference has needed since the entries were parsed.
func Unused(entries []*Reviewed) []string {
	var unused []string
	for _, entry := range entries {
		for i, used := range entry.used {
			if !used {
				unused = append(unused, fmt.Sprintf("line %d: %s", entry.lines[i], entry.Patterns[i]))
			}
		}
	}
	return unused
}
