package log

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/vfs"
)

func TestLogsThatAreFlushedTogetherTakeOneRound(t *testing.T) {
	registry := prometheus.NewRegistry()
	cfg := testDirConfig(vfs.NewMemory())
	cfg.Registerer = registry
	d, err := OpenDir(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var logs []*Log
	for i := range int32(1000) {
		tp := testTopic
		tp.Partition = i
		l, err := d.Open(tp, DefaultConfig(), Hooks{})
		if err != nil {
			t.Fatal(err)
		}
		appendValues(t, l, 0, "a")
		logs = append(logs, l)
	}
	for turn := range int64(20) { // asked for one by one, the first of them has often begun a round of its own
		before, flushed := flushRounds(t, registry)
		RequestFlushes(logs)
		for _, l := range logs {
			if err := l.AwaitFlush(); err != nil || l.FlushedOffset() != turn+1 {
				t.Fatalf("flushed up to %d, %v", l.FlushedOffset(), err)
			}
		}
		rounds, logsFlushed := flushRounds(t, registry)
		if rounds-before != 1 || logsFlushed-flushed != 1000 {
			t.Fatalf("%d rounds for %v logs", rounds-before, logsFlushed-flushed)
		}
		for _, l := range logs {
			appendValues(t, l, 0, "b")
		}
	}
}

// flushRounds returns how many group commits there were, and of how many logs.
func flushRounds(t *testing.T, registry *prometheus.Registry) (rounds uint64, logs float64) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "millrace_log_flush_duration_seconds":
			rounds = f.Metric[0].Histogram.GetSampleCount()
		case "millrace_log_flushed_logs_total":
			logs = f.Metric[0].Counter.GetValue()
		}
	}
	return rounds, logs
}
