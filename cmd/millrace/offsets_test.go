package main

import (
	"strings"
	"testing"
	"time"
)

var testNow = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestParseOffsets(t *testing.T) {
	t.Parallel()
	at := func(tm time.Time) offsetPoint { return offsetPoint{offsetTime, tm.UnixMilli()} }
	start, end, none := offsetPoint{kind: offsetStart}, offsetPoint{kind: offsetEnd}, offsetPoint{}
	exact := func(n int64) offsetPoint { return offsetPoint{offsetExact, n} }
	hour := time.Hour
	tests := []struct {
		text string
		want offsetRange
	}{
		{"start", offsetRange{start, none}},
		{"oldest", offsetRange{start, none}},
		{"end", offsetRange{end, none}},
		{"latest", offsetRange{end, none}},
		{"0", offsetRange{exact(0), none}},
		{"42", offsetRange{exact(42), none}},
		{"9223372036854775807", offsetRange{exact(1<<63 - 1), none}},
		{"+7", offsetRange{offsetPoint{offsetAfterStart, 7}, none}},
		{"-7", offsetRange{offsetPoint{offsetBeforeEnd, 7}, none}},
		{"1:5", offsetRange{exact(1), exact(5)}},
		{"5:5", offsetRange{exact(5), exact(5)}},
		{"1:", offsetRange{exact(1), none}},
		{":5", offsetRange{start, exact(5)}},
		{":end", offsetRange{start, end}},
		{"start:end", offsetRange{start, end}},
		{"-10:-5", offsetRange{offsetPoint{offsetBeforeEnd, 10}, offsetPoint{offsetBeforeEnd, 5}}},
		{"+1:end", offsetRange{offsetPoint{offsetAfterStart, 1}, end}},
		{"@0", offsetRange{offsetPoint{offsetTime, 0}, none}},
		{"@1700000000000", offsetRange{offsetPoint{offsetTime, 1700000000000}, none}},
		{"@2026-01-30", offsetRange{at(time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC)), none}},
		{"@2026-01-30T10:20:30Z", offsetRange{at(time.Date(2026, 1, 30, 10, 20, 30, 0, time.UTC)), none}},
		{"@2026-01-30T10:20:30.5+02:00", offsetRange{at(time.Date(2026, 1, 30, 8, 20, 30, 5e8, time.UTC)), none}},
		{"@2026-01-30T10:20:30Z:2026-01-30T10:20:31Z", offsetRange{at(time.Date(2026, 1, 30, 10, 20, 30, 0, time.UTC)), at(time.Date(2026, 1, 30, 10, 20, 31, 0, time.UTC))}},
		{"@2026-01-30:2026-01-31", offsetRange{at(time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC)), at(time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC))}},
		{"@:2026-01-31", offsetRange{start, at(time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC))}},
		{"@2026-01-30:", offsetRange{at(time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC)), none}},
		{"@2026-01-30:6h", offsetRange{at(time.Date(2026, 1, 30, 0, 0, 0, 0, time.UTC)), at(time.Date(2026, 1, 30, 6, 0, 0, 0, time.UTC))}},
		{"@-1h:end", offsetRange{at(testNow.Add(-hour)), end}},
		{"@-1h", offsetRange{at(testNow.Add(-hour)), none}},
		{"@-7d:-1d", offsetRange{at(testNow.Add(-7 * 24 * hour)), at(testNow.Add(-24 * hour))}},
		{"@-1h30m:now", offsetRange{at(testNow.Add(-90 * time.Minute)), at(testNow)}},
		{"@1:2", offsetRange{offsetPoint{offsetTime, 1}, offsetPoint{offsetTime, 2}}},
	}
	for _, test := range tests {
		got, err := parseOffsets(test.text, testNow)
		if err != nil || got != test.want {
			t.Errorf("parseOffsets(%q) = %+v, %v; want %+v", test.text, got, err, test.want)
		}
	}
}

func TestParseOffsetsRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ text, message string }{
		{"", "is empty"},
		{":", "both sides are empty"},
		{"x", `"x" is not start`},
		{"--1", `"--1" is not start`},
		{"1.5", `"1.5" is not start`},
		{"9223372036854775808", "is not start"},
		{"1:2:3", `"2:3" is not start`},
		{"5:3", "ends before it starts"},
		{"+5:+3", "ends before it starts"},
		{"-3:-5", "ends before it starts"},
		{"@", "no time in it"},
		{"@:", "no time in it"},
		{"@tomorrow", "no time in it"},
		{"@1h", "no time in it"},
		{"@2026-13-01", "no time in it"},
		{"@2026-01-31:2026-01-30", "ends before it starts"},
		{"@-1", "no time in it"},
	}
	for _, test := range tests {
		if _, err := parseOffsets(test.text, testNow); err == nil || !strings.Contains(err.Error(), test.message) {
			t.Errorf("parseOffsets(%q): error %v, want %q in it", test.text, err, test.message)
		}
	}
}

func TestOffsetPointStaysInsideTheLog(t *testing.T) {
	t.Parallel()
	const logStart, logEnd, atTime = 100, 200, 150
	tests := []struct {
		point offsetPoint
		want  int64
	}{
		{offsetPoint{kind: offsetStart}, 100},
		{offsetPoint{kind: offsetEnd}, 200},
		{offsetPoint{kind: offsetNone}, 200},
		{offsetPoint{offsetExact, 0}, 100},
		{offsetPoint{offsetExact, 170}, 170},
		{offsetPoint{offsetExact, 1 << 62}, 200},
		{offsetPoint{offsetAfterStart, 5}, 105},
		{offsetPoint{offsetAfterStart, 1<<63 - 1}, 200},
		{offsetPoint{offsetBeforeEnd, 5}, 195},
		{offsetPoint{offsetBeforeEnd, 1<<63 - 1}, 100},
		{offsetPoint{offsetTime, 12345}, 150},
	}
	for _, test := range tests {
		if got := test.point.at(logStart, logEnd, atTime); got != test.want {
			t.Errorf("%+v: offset %d, want %d", test.point, got, test.want)
		}
	}
}

// FuzzParseOffsets: whatever is typed is refused or resolves to an offset inside the log, in order for plain ranges.
func FuzzParseOffsets(f *testing.F) {
	for _, seed := range []string{"start", ":end", "+3:-2", "@-1h:end", "@2026-01-30T10:20:30Z:1h", "@1:2", "7:", "-9223372036854775807", "@-99999d"} {
		f.Add(seed, int64(10), int64(20))
	}
	f.Fuzz(func(t *testing.T, text string, logStart, logEnd int64) {
		if logStart < 0 || logEnd < logStart {
			return
		}
		r, err := parseOffsets(text, testNow)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "offset ") && err.Error() != "the offset is empty" {
				t.Fatalf("the error does not name the offset: %v", err)
			}
			return
		}
		from, until := r.start.at(logStart, logEnd, logStart), r.end.at(logStart, logEnd, logEnd)
		if from < logStart || from > logEnd || until < logStart || until > logEnd {
			t.Fatalf("%q: %d to %d is outside of %d to %d", text, from, until, logStart, logEnd)
		}
		if r.start.kind == r.end.kind && r.start.kind != offsetTime && from > until {
			t.Fatalf("%q: %d to %d is backwards", text, from, until)
		}
	})
}
