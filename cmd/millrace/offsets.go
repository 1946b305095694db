package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// offsetKind says what an offsetPoint's number means.
type offsetKind int

const (
	offsetNone  offsetKind = iota // no bound: keep waiting for new records
	offsetStart                   // the first record there is
	offsetEnd                     // after the last record there is
	offsetExact                   // the offset itself
	offsetAfterStart
	offsetBeforeEnd
	offsetTime // the first record at or after a time
)

// offsetPoint is one side of a range.
type offsetPoint struct {
	kind  offsetKind
	value int64 // offset, distance, or Unix milliseconds
}

// offsetRange is what --offset selects: from start up to, not including, end.
type offsetRange struct{ start, end offsetPoint }

// offsetHelp explains the grammar in --help.
const offsetHelp = `Offsets:
  start | end      the first record there is | only new records
  N                from offset N
  +N | -N          N records after the start | N records before the end
  A:B  A:  :B      from A up to, not including, B; A and B are any of the above
  :end             everything there is now, then stop
  @T               from time T: Unix milliseconds, RFC 3339, 2006-01-02, or -1h (before now; also -7d)
  @T1:T2  @-1h:end up to time T2, the end, or a duration after T1 (@2026-01-31:6h)`

// parseOffsets reads the offset grammar. now is what durations count from.
func parseOffsets(text string, now time.Time) (offsetRange, error) {
	if text == "" {
		return offsetRange{}, fmt.Errorf("the offset is empty")
	}
	var r offsetRange
	var err error
	if times, ok := strings.CutPrefix(text, "@"); ok {
		r, err = parseTimes(times, now)
	} else {
		r, err = parsePoints(text)
	}
	if err != nil {
		return offsetRange{}, fmt.Errorf("offset %s: %w", quote(text), err)
	}
	return r, r.check(text)
}

// check refuses a range that can be seen to be backwards without asking a broker.
func (r offsetRange) check(text string) error {
	if r.start.kind != r.end.kind {
		return nil
	}
	backwards := r.start.value > r.end.value
	if r.start.kind == offsetBeforeEnd {
		backwards = r.start.value < r.end.value
	}
	if backwards {
		return fmt.Errorf("offset %s: the range ends before it starts", quote(text))
	}
	return nil
}

func parsePoints(text string) (offsetRange, error) {
	left, right, ranged := strings.Cut(text, ":")
	if left == "" && right == "" {
		return offsetRange{}, fmt.Errorf("both sides are empty")
	}
	r := offsetRange{start: offsetPoint{kind: offsetStart}}
	var err error
	if left != "" {
		if r.start, err = parsePoint(left); err != nil {
			return r, err
		}
	}
	if ranged && right != "" {
		r.end, err = parsePoint(right)
	}
	return r, err
}

func parsePoint(text string) (offsetPoint, error) {
	switch text {
	case "start", "oldest", "earliest":
		return offsetPoint{kind: offsetStart}, nil
	case "end", "newest", "latest":
		return offsetPoint{kind: offsetEnd}, nil
	}
	kind := offsetExact
	digits := text
	switch text[0] {
	case '+':
		kind, digits = offsetAfterStart, text[1:]
	case '-':
		kind, digits = offsetBeforeEnd, text[1:]
	}
	value, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return offsetPoint{}, fmt.Errorf("%s is not start, end, N, +N or -N", quote(text))
	}
	return offsetPoint{kind: kind, value: int64(value)}, nil
}

// parseTimes reads T, T:, :T, T1:T2. A time may hold colons itself, so every colon is tried.
func parseTimes(text string, now time.Time) (offsetRange, error) {
	if start, err := parseTime(text, now); err == nil {
		return offsetRange{start: start}, nil
	}
	for i, c := range text {
		if c != ':' {
			continue
		}
		if r, ok := parseTimeRange(text[:i], text[i+1:], now); ok {
			return r, nil
		}
	}
	return offsetRange{}, fmt.Errorf("no time in it: want Unix milliseconds, RFC 3339, 2006-01-02, or a duration before now such as -1h")
}

func parseTimeRange(left, right string, now time.Time) (offsetRange, bool) {
	r := offsetRange{start: offsetPoint{kind: offsetStart}}
	if left == "" && right == "" {
		return r, false
	}
	var err error
	if left != "" {
		if r.start, err = parseTime(left, now); err != nil {
			return r, false
		}
	}
	if right == "" {
		return r, true
	}
	if after, err := parseDuration(right); err == nil && r.start.kind == offsetTime && !strings.HasPrefix(right, "-") {
		r.end = offsetPoint{kind: offsetTime, value: r.start.value + after.Milliseconds()}
		return r, true
	}
	r.end, err = parseTime(right, now)
	return r, err == nil
}

func parseTime(text string, now time.Time) (offsetPoint, error) {
	at := func(t time.Time) (offsetPoint, error) {
		return offsetPoint{kind: offsetTime, value: t.UnixMilli()}, nil
	}
	switch text {
	case "start":
		return offsetPoint{kind: offsetStart}, nil
	case "end":
		return offsetPoint{kind: offsetEnd}, nil
	case "now":
		return at(now)
	}
	if millis, err := strconv.ParseUint(text, 10, 63); err == nil {
		return offsetPoint{kind: offsetTime, value: int64(millis)}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return at(t)
		}
	}
	if d, err := parseDuration(text); err == nil && strings.HasPrefix(text, "-") {
		return at(now.Add(d))
	}
	return offsetPoint{}, fmt.Errorf("%s is no time", quote(text))
}

// parseDuration is time.ParseDuration with whole days.
func parseDuration(text string) (time.Duration, error) {
	if days := regexp.MustCompile(`^(-?\d{1,5})d$`).FindStringSubmatch(text); days != nil {
		n, err := strconv.Atoi(days[1])
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

// clampOffset keeps an offset inside the log.
func clampOffset(offset, logStart, logEnd int64) int64 {
	return max(logStart, min(offset, logEnd))
}

// at resolves a point against one partition's log. atTime is the offset of the first record at or after the point's time.
func (p offsetPoint) at(logStart, logEnd, atTime int64) int64 {
	switch p.kind {
	case offsetStart:
		return logStart
	case offsetExact:
		return clampOffset(p.value, logStart, logEnd)
	case offsetAfterStart:
		if p.value > logEnd-logStart {
			return logEnd
		}
		return logStart + p.value
	case offsetBeforeEnd:
		return max(logStart, logEnd-p.value)
	case offsetTime:
		return clampOffset(atTime, logStart, logEnd)
	}
	return logEnd
}
