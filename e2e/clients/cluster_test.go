//go:build e2e

package clients

import (
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

var (
	clusterLevel  = flag.String("level", "info", "logging.level of the brokers that are restarted; MILLRACE_E2E_LOGS says where their logs go")
	clusterRounds = flag.Int("rounds", 1, "how often each cell is run against brokers that are restarted, every time with a topic and a group of its own")
)

// Every client against three brokers of which one after the other is restarted, again and again until all are through.
// What a broker is asked at the moment of its stop must reach nobody as an error: the clients are those of the matrix, with
// the settings of the matrix. acks=0 and acks=1 are left out, which promise nothing when a leader goes, and share groups, whose
// deliveries cannot be counted when what a broker had given out comes again.
func TestClientsOfThreeBrokersRestartedInTurn(t *testing.T) {
	replicated := maps.Clone(settings)
	replicated["default.replication.factor"], replicated["logging.level"] = "3", *clusterLevel
	cluster := harness.StartCluster(t, harness.ClusterConfig{Settings: replicated})
	rows := clientRows(t)
	columns := slices.DeleteFunc(features(), func(f *feature) bool { return f.acks == "0" || f.acks == "1" || f.verb == "share" })
	results := newTable(rows, columns)
	enough, ended, count := make(chan struct{}), make(chan struct{}), 0
	go func() {
		defer close(ended) // also when a node does not come back, which ends this goroutine and fails the test
		restartInTurn(t, cluster, enough, &count)
	}()
	t.Run("matrix", func(t *testing.T) {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				for round := range *clusterRounds {
					for _, column := range columns {
						t.Run(column.name, func(t *testing.T) {
							results.set(row, column, runCell(t, strings.Join(cluster.Addresses(), ","), row, column, round))
						})
					}
				}
			})
		}
	})
	close(enough)
	<-ended
	t.Logf("%d restarts; clients of three brokers:\n%s", count, results.text())
	if count < 3 {
		t.Errorf("%d restarts: the clients hardly met one", count)
	}
}

// After some turns the cells have peace for longer than the sessions of their members last (10 s). A new coordinator gives every
// session its whole time; so a member that could not say that it leaves, because its coordinator moved just then, would
// never be missed where coordinators move more often than that. It is so with any broker.
const (
	turnsBeforePeace = 3
	peace            = 12 * time.Second
)

// restartInTurn stops and starts one node after the other, with some peace between, and counts.
func restartInTurn(t *testing.T, cluster *harness.Cluster, enough <-chan struct{}, count *int) {
	for turn := 0; ; turn++ {
		pause := 2 * time.Second
		if turn > 0 && turn%turnsBeforePeace == 0 {
			pause = peace
		}
		for _, node := range cluster.Nodes() {
			select {
			case <-enough:
				return
			case <-time.After(pause):
			}
			pause = 2 * time.Second
			began := time.Now()
			node.Stop()
			stopped := time.Now()
			node.Restart()
			*count++
			t.Logf("node %d: stopped at %s in %v, was back in %v", node.ID(), began.Format("15:04:05.000"), stopped.Sub(began), time.Since(stopped))
		}
	}
}
