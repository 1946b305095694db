//go:build e2e

package clients

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

var (
	serverName = flag.String("server", "millrace", "what the clients talk to: millrace, kafka, or the address of a running server")
	tableFile  = flag.String("table", os.Getenv("MILLRACE_MATRIX"), "write the table to this file of the tree, as Markdown (default: MILLRACE_MATRIX)")
)

// A client is one row of the matrix.
type client struct {
	name  string
	run   func(c *cell) error                 // runs a feature; the error says what was wrong
	leads func(verb, address string) []string // a driver of members that do as they are told; nil: run does these features, too
	codes []string                            // codecs it can write and read
	lacks map[string]string                   // feature -> why the client has no such thing
}

// A feature is one column of the matrix.
type feature struct {
	name       string
	verb       string // what drivers call it
	partitions int    // of the topic made for it; 0: the feature makes its own
	fill       int    // records put into the topic before
	codecs     []string
	acks       string
	referee    func(*cell) error // checks what the driver left on the broker
	play       func(*cell) error // leads members, of clients that have such a driver
}

// cell is one client doing one feature.
type cell struct {
	t       *testing.T
	address string
	client  *client
	feature *feature
	topic   string
	group   string
	count   int
	codecs  []string
	middle  time.Time // the moment of the record in the middle of a filled topic
}

const filled = 100

func features() []*feature {
	var all []*feature
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		all = append(all, &feature{name: codec, verb: "produce", partitions: 1, codecs: []string{codec}, acks: "-1", referee: refereeProduce})
	}
	for _, acks := range []string{"0", "1", "-1"} {
		name := "acks=" + strings.Replace(acks, "-1", "all", 1)
		all = append(all, &feature{name: name, verb: "produce", partitions: 1, acks: acks, referee: refereeProduce})
	}
	return append(all,
		&feature{name: "fields", verb: "fields", partitions: 1, referee: refereeFields},
		&feature{name: "idempotence", verb: "idempotence", partitions: 1, referee: refereeIdempotence},
		&feature{name: "start", verb: "start", partitions: 1, fill: filled},
		&feature{name: "end", verb: "end", partitions: 1, fill: filled},
		&feature{name: "time", verb: "time", partitions: 1, fill: filled},
		&feature{name: "groups under load", verb: "group", partitions: 6},
		&feature{name: "consumer protocol", verb: "consumer", partitions: consumerPartitions, play: playConsumerProtocol},
		&feature{name: "share groups", verb: "share", partitions: 1, play: playShareGroups},
		&feature{name: "commits", verb: "commits", partitions: 1, referee: refereeCommits},
		&feature{name: "transactions", verb: "transactions", partitions: 1, fill: filled, referee: refereeTransactions},
		&feature{name: "topics", verb: "topics"},
		&feature{name: "configs", verb: "configs", partitions: 1},
		&feature{name: "group admin", verb: "groups", partitions: 1},
		&feature{name: "delete records", verb: "records", partitions: 1, fill: filled},
	)
}

// settings make groups form at once where Kafka's default waits three seconds, and let share groups ask for locks that end
// within a test.
var settings = map[string]string{"group.initial.rebalance.delay.ms": "0", "group.share.min.record.lock.duration.ms": "1000"}

// quickHeartbeats have Apache Kafka's members learn of assignments as soon as ours do without.
var quickHeartbeats = map[string]string{
	"group.consumer.min.heartbeat.interval.ms": "200", "group.consumer.heartbeat.interval.ms": "200",
	"group.share.min.heartbeat.interval.ms": "200", "group.share.heartbeat.interval.ms": "200",
}

func startServer(t *testing.T) string {
	switch *serverName {
	case "millrace":
		return harness.StartMillrace(t, harness.MillraceConfig{Settings: settings}).Address()
	case "kafka":
		with := maps.Clone(settings)
		maps.Copy(with, quickHeartbeats)
		return harness.StartKafka(t, harness.KafkaConfig{Settings: with}).Address()
	}
	return *serverName
}

func TestClients(t *testing.T) {
	address := startServer(t)
	rows, columns := clientRows(t), features()
	results := newTable(rows, columns)
	// Cells run in a subtest of their own, so that the table is printed when all have ended.
	t.Run("matrix", func(t *testing.T) {
		for _, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				t.Parallel()
				for _, column := range columns {
					t.Run(column.name, func(t *testing.T) { results.set(row, column, runCell(t, address, row, column, 0)) })
				}
			})
		}
	})
	t.Logf("clients of %s:\n%s", *serverName, results.text())
	if *tableFile != "" {
		writeTable(t, results.text())
	}
}

// writeTable writes to a path that is absolute or starts at the root of the tree.
func writeTable(t *testing.T, text string) {
	path := *tableFile
	if !filepath.IsAbs(path) {
		path = filepath.Join("..", "..", path)
	}
	header := "# The matrix of clients\n\nWritten by `go tool task gen`; what the columns mean stands in README.md.\n\n"
	if err := os.WriteFile(path, []byte(header+text), 0o644); err != nil {
		t.Error(err)
	}
}

// runCell returns "pass", "FAIL" or "n/a". Each round of a cell has a topic and a group of its own.
func runCell(t *testing.T, address string, row *client, column *feature, round int) string {
	if why, ok := row.lacks[column.name]; ok {
		t.Logf("%s lacks this: %s", row.name, why)
		return "n/a"
	}
	slug := strings.NewReplacer(" ", "-", "=", "-", "'", "", "(", "", ")", "").Replace(strings.ToLower(row.name + "." + column.name))
	if round > 0 {
		slug = fmt.Sprintf("%s.%d", slug, round+1)
	}
	c := &cell{t: t, address: address, client: row, feature: column, topic: slug, group: "group." + slug, count: 50, codecs: column.codecs}
	if c.codecs == nil {
		c.codecs = row.codes
	}
	run := row.run
	if column.play != nil && row.leads != nil {
		run = column.play
	}
	err := prepare(c)
	if err == nil {
		err = run(c)
	}
	if err == nil && column.referee != nil {
		err = column.referee(c)
	}
	if err != nil {
		t.Error(err)
		return "FAIL"
	}
	return "pass"
}

// driverArguments are those of every driver program.
func (c *cell) driverArguments() []string {
	count := c.count
	if c.feature.fill > 0 {
		count = c.feature.fill
	}
	if c.feature.verb == "idempotence" {
		count = 1000
	}
	args := []string{c.feature.verb, "--bootstrap", c.address, "--topic", c.topic, "--group", c.group, "--count", fmt.Sprint(count)}
	if c.feature.verb == "produce" {
		args = append(args, "--codecs", strings.Join(c.codecs, ","), "--acks="+c.feature.acks)
	}
	return append(args, "--time", fmt.Sprint(c.middle.UnixMilli()))
}

// table collects verdicts.
type table struct {
	mu       sync.Mutex
	rows     []*client
	columns  []*feature
	verdicts map[string]string // guarded by mu
}

func newTable(rows []*client, columns []*feature) *table {
	return &table{rows: rows, columns: columns, verdicts: map[string]string{}}
}

// set keeps the worst verdict of a cell that is run again.
func (r *table) set(row *client, column *feature, verdict string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cell := row.name + "/" + column.name; r.verdicts[cell] != "FAIL" {
		r.verdicts[cell] = verdict
	}
}

// text is the matrix as a Markdown table, and under it why a cell is not applicable.
func (r *table) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out strings.Builder
	out.WriteString("| client |")
	for _, column := range r.columns {
		fmt.Fprintf(&out, " %s |", column.name)
	}
	out.WriteString("\n|---|" + strings.Repeat("---|", len(r.columns)) + "\n")
	reasons := map[string][]string{}
	for _, row := range r.rows {
		fmt.Fprintf(&out, "| %s |", row.name)
		for _, column := range r.columns {
			verdict := r.verdicts[row.name+"/"+column.name]
			if verdict == "" {
				verdict = "not run"
			}
			fmt.Fprintf(&out, " %s |", verdict)
			if verdict == "n/a" {
				why := row.name + ": " + row.lacks[column.name]
				reasons[why] = append(reasons[why], column.name)
			}
		}
		out.WriteString("\n")
	}
	out.WriteString("\n")
	for _, row := range r.rows {
		for _, column := range r.columns {
			why := row.name + ": " + row.lacks[column.name]
			if of := reasons[why]; len(of) > 0 {
				fmt.Fprintf(&out, "- n/a, %s (%s)\n", why, strings.Join(of, ", "))
				delete(reasons, why)
			}
		}
	}
	return out.String()
}
