//go:build e2e

package bench

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-io/millrace/e2e/harness"
)

var (
	rowNames = flag.String("rows", "", "rows to run, comma separated; none: all")
	repeats  = flag.Int("rounds", 3, "runs of each row on each side; the median is printed")
)

// TestCompare prints the scoreboard. It fails only when a load fails.
func TestCompare(t *testing.T) {
	settings := map[string]string{"log.cleaner.backoff.ms": "1000"}
	kafka := harness.StartKafka(t, harness.KafkaConfig{Settings: settings})
	millrace := harness.StartMillrace(t, harness.MillraceConfig{Settings: settings})
	peers := []*peer{
		{name: "kafka", address: kafka.Address(), pid: kafka.PID, dataDir: kafka.DataDir()},
		{name: "millrace", address: millrace.Address(), pid: millrace.PID, dataDir: millrace.DataDir()},
	}
	wanted := strings.FieldsFunc(*rowNames, func(r rune) bool { return r == ',' })
	// The cleaner's rows warm both by themselves: the median is not of the first round.
	cleanerOnly := len(wanted) > 0 && !slices.ContainsFunc(wanted, func(name string) bool { return !strings.HasPrefix(name, "compact") })
	for _, r := range rows() { // warm both: the JIT, the page cache, memory never touched before
		if !cleanerOnly && (r.name == "produce64k" || r.name == "fetch1m") {
			for _, p := range peers {
				if _, err := r.run(t.Context(), p); err != nil {
					t.Fatalf("warm up %s: %v", p.name, err)
				}
			}
		}
	}
	for _, r := range rows() {
		if len(wanted) > 0 && !slices.Contains(wanted, r.name) {
			continue
		}
		results := map[string][]figures{}
		for range *repeats {
			for _, p := range peers {
				f, err := r.run(t.Context(), p)
				if err != nil {
					t.Errorf("%s on %s: %v", r.name, p.name, err)
					continue
				}
				results[p.name] = append(results[p.name], f)
			}
		}
		print(t, r, medians(results["kafka"]), medians(results["millrace"]))
	}
	for _, p := range peers {
		if n, err := anonymousBytes(p.pid()); err == nil {
			t.Logf("%-12s anonymous memory after all rows: %d MiB", p.name, n>>20)
		}
	}
}

func medians(runs []figures) figures {
	result := figures{}
	if len(runs) == 0 {
		return result
	}
	for name := range runs[0] {
		var values []float64
		for _, f := range runs {
			values = append(values, f[name])
		}
		slices.Sort(values)
		result[name] = values[len(values)/2]
	}
	return result
}

func print(t *testing.T, r row, kafka, millrace figures) {
	for _, name := range slices.Sorted(maps.Keys(millrace)) {
		ratio := ""
		if kafka[name] != 0 {
			ratio = fmt.Sprintf("x%.3f", millrace[name]/kafka[name])
		}
		limit := ""
		if name == cpuPerGB && r.limit != "" {
			limit = "  limit line " + r.limit
		}
		t.Logf("%-12s %-11s kafka %10.3f  millrace %10.3f  %s%s", r.name, name, kafka[name], millrace[name], ratio, limit)
	}
}
