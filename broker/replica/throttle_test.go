package replica

import (
	"math"
	"testing"
	"time"
)

func TestThrottleIsPaidForByWaiting(t *testing.T) {
	now := time.Unix(1000, 0)
	var limit throttle
	limit.setRate(1000)
	for _, step := range []struct {
		after time.Duration
		bytes int
		want  time.Duration
	}{
		{0, 500, 500 * time.Millisecond}, {0, 500, time.Second}, {400 * time.Millisecond, 0, 600 * time.Millisecond},
		{time.Hour, 100, 100 * time.Millisecond}, // what was not used is not saved up
	} {
		now = now.Add(step.after)
		if got := limit.take(step.bytes, now); got != step.want {
			t.Errorf("%d bytes after %v: wait %v, want %v", step.bytes, step.after, got, step.want)
		}
	}
	limit.take(1<<40, now)
	limit.setRate(1000)
	if got := limit.take(0, now); got < time.Hour {
		t.Errorf("the same rate forgives what was taken: wait %v", got)
	}
	limit.setRate(2000)
	if got := limit.take(1000, now); got != 500*time.Millisecond {
		t.Errorf("another rate: wait %v for what was taken at the old one", got)
	}
	limit.setRate(math.MaxInt64)
	if got := limit.take(1<<30, now); got != 0 {
		t.Errorf("without a limit: wait %v", got)
	}
}

func TestThrottledReplicas(t *testing.T) {
	for _, test := range []struct {
		list              string
		partition, broker int32
		want              bool
	}{
		{"", 0, 1, false}, {"*", 7, 9, true}, {"0:1,3:2", 3, 2, true}, {"0:1, 3:2", 0, 1, true}, {"0:1,3:2", 3, 1, false},
	} {
		if got := parseThrottled(test.list).has(test.partition, test.broker); got != test.want {
			t.Errorf("%q has %d:%d: %v", test.list, test.partition, test.broker, got)
		}
	}
}
