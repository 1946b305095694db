//go:build e2e

package ecosystem

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

const connectDistributed = "org.apache.kafka.connect.cli.ConnectDistributed"

// Kafka Connect in distributed mode, two workers: a file is read by an exactly-once source into a topic, and the topic is
// written by a sink into another file, while brokers and workers are killed. The topic has every line once, in order; the
// sink, which promises no more than at least once, has no line missing.
func TestConnectCopiesExactlyOnce(t *testing.T) {
	s := newSite(t)
	s.createTopics("copied")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.txt"), filepath.Join(dir, "out.txt")
	lines, err := os.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	var rest []string
	var workers []*program
	for i := range 2 {
		address := harness.FreeAddress(t)
		rest = append(rest, address)
		file := filepath.Join(dir, fmt.Sprintf("worker-%d.properties", i))
		writeProperties(t, file, connectSettings(s.bootstrap(), address))
		workers = append(workers, run(func() *harness.Process {
			return s.java(fmt.Sprintf("connect-%d", i), s.classpath, connectDistributed, file)
		}))
	}
	putConnector(t, rest, workers, "source", map[string]string{"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "tasks.max": "1",
		"file": in, "topic": "copied", "exactly.once.support": "required", "transaction.boundary": "poll"})
	putConnector(t, rest, workers, "sink", map[string]string{"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "tasks.max": "1",
		"file": out, "topics": "copied", "consumer.override.isolation.level": "read_committed"})
	killer := s.startKilling(peace, workers...)
	count := 0
	for end := time.Now().Add(load(t)); time.Now().Before(end); count++ {
		if _, err := fmt.Fprintf(lines, "line %d\n", count); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	killer.end()
	mustHaveLines(t, s, count, workers)
	mustReachFile(t, out, count, workers)
	t.Logf("%d lines, %d kills", count, killer.kills)
	for _, w := range workers {
		w.process.Terminate(60 * time.Second)
	}
}

func connectSettings(bootstrap, rest string) map[string]string {
	converter := "org.apache.kafka.connect.storage.StringConverter"
	return map[string]string{
		"bootstrap.servers": bootstrap, "group.id": "connect", "listeners": "http://" + rest,
		"key.converter": converter, "value.converter": converter, "exactly.once.source.support": "enabled",
		"config.storage.topic": "connect-configs", "offset.storage.topic": "connect-offsets", "status.storage.topic": "connect-status",
		"config.storage.replication.factor": "-1", "offset.storage.replication.factor": "-1", "status.storage.replication.factor": "-1",
		"offset.storage.partitions": "5", "status.storage.partitions": "2", "offset.flush.interval.ms": "500",
		"session.timeout.ms": "6000", "heartbeat.interval.ms": "1500", "scheduled.rebalance.max.delay.ms": "1000", "connector.client.config.override.policy": "All",
	}
}

func writeProperties(t *testing.T, name string, settings map[string]string) {
	t.Helper()
	var text strings.Builder
	for key, value := range settings {
		fmt.Fprintf(&text, "%s=%s\n", key, value)
	}
	if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// putConnector asks one worker after the other until one has taken the connector.
func putConnector(t *testing.T, rest []string, workers []*program, name string, config map[string]string) {
	t.Helper()
	body, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for turn, end := 0, time.Now().Add(2*time.Minute); time.Now().Before(end); turn++ {
		if last = put("http://"+rest[turn%len(rest)]+"/connectors/"+name+"/config", body); last == nil {
			return
		}
		time.Sleep(500 * time.Millisecond)
	}
	t.Fatalf("connector %s: %v; a worker's log:\n%s", name, last, workers[0].process.Log(60))
}

func put(url string, body []byte) error {
	req, err := http.NewRequest(http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 30 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: %s", resp.Status, answer)
	}
	return nil
}

func mustHaveLines(t *testing.T, s *site, count int, workers []*program) {
	t.Helper()
	seen := make([]int, count)
	last := map[int32]int{}
	for _, r := range s.read(map[string]int{"copied": count}, workers...)["copied"] {
		n, err := strconv.Atoi(strings.TrimPrefix(string(r.Value), "line "))
		if err != nil || n < 0 || n >= count {
			t.Fatalf("%s-%d at %d: %q was never a line", r.Topic, r.Partition, r.Offset, r.Value)
		}
		if before, ok := last[r.Partition]; ok && before >= n {
			t.Errorf("%s-%d at %d: line %d after line %d", r.Topic, r.Partition, r.Offset, n, before)
		}
		seen[n]++
		last[r.Partition] = n
	}
	for n, times := range seen {
		if times != 1 {
			t.Errorf("line %d is there %d times", n, times)
		}
	}
}

// mustReachFile waits until the sink's file has every line.
func mustReachFile(t *testing.T, name string, count int, workers []*program) {
	t.Helper()
	missing := -1
	for end := time.Now().Add(settledWithin); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the sink has not begun
		}
		seen := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			seen[strings.TrimSpace(line)] = true
		}
		missing = count - len(seen)
		if missing == 0 {
			return
		}
	}
	t.Errorf("%d of %d lines are not in the sink's file; a worker's log:\n%s", missing, count, workers[0].process.Log(60))
}
