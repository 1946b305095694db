package process

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// run runs the binary to its end and returns its exit code and standard error.
func run(t *testing.T, args ...string) (code int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.MillraceBinary(t), args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("millrace %v did not end; it said:\n%s", args, errs.String())
	}
	if err != nil {
		code = cmd.ProcessState.ExitCode()
	}
	return code, errs.String()
}

// refused runs the binary and wants one clear line with every one of the texts, and an exit code that is not zero.
func refused(t *testing.T, texts []string, args ...string) {
	t.Helper()
	code, stderr := run(t, args...)
	if code == 0 {
		t.Errorf("millrace %v: exit code 0", args)
	}
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	said := lines[len(lines)-1]
	for _, text := range texts {
		if !strings.Contains(stderr, text) {
			t.Errorf("millrace %v said %q, want something with %q", args, stderr, text)
		}
	}
	if strings.Contains(stderr, "goroutine ") || len(lines) > 2 {
		t.Errorf("millrace %v: want one clear line, got:\n%s", args, stderr)
	}
	t.Logf("%s", said)
}

func client(t *testing.T, address string) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.AllowAutoTopicCreation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func produce(t *testing.T, address, topic string, n int) {
	t.Helper()
	cl := client(t, address)
	for i := range n {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "value %d", i)}).FirstErr(); err != nil {
			t.Fatalf("produce: %v", err)
		}
	}
}

func count(t *testing.T, address, topic string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(client(t, address)).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		t.Fatalf("end offsets of %s: %v", topic, err)
	}
	var sum int64
	ends.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum
}

func TestDataSurvivesStopsAndKills(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{})
	produce(t, m.Address(), "kept", 10)
	m.Stop()
	m.Restart()
	if n := count(t, m.Address(), "kept"); n != 10 {
		t.Errorf("%d records after a clean stop, want 10", n)
	}
	produce(t, m.Address(), "kept", 5)
	m.Kill()
	m.Restart()
	if n := count(t, m.Address(), "kept"); n != 15 {
		t.Errorf("%d records after kill -9, want 15", n)
	}
}

func TestReadyLineTellsWhatToolsNeed(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{})
	node := m.Ready().Nodes[0]
	if node.ID != 1 || node.PID != m.PID() || node.Kafka != m.Address() || node.HTTP != m.HTTPAddress() {
		t.Errorf("announced %+v, started at %s and %s as process %d", node, m.Address(), m.HTTPAddress(), m.PID())
	}
	if _, err := os.Stat(node.Config); err != nil || filepath.Base(node.Config) != "millrace.yaml" {
		t.Errorf("the announced configuration %s: %v", node.Config, err)
	}
}

func TestBrokerStartOnTheWrittenFileIsTheSameNode(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{Settings: map[string]string{"num.partitions": "3"}})
	produce(t, m.Address(), "before", 4)
	m.Stop()
	cmd := exec.Command(harness.MillraceBinary(t), "broker", "start", "-c", m.Ready().Nodes[0].Config)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v\n%s", err, stderr.String())
		}
	}()
	await(t, m.Address())
	if n := count(t, m.Address(), "before"); n != 4 {
		t.Errorf("%d records, want the 4 of the same node", n)
	}
	produce(t, m.Address(), "after", 1)
	topics, err := kadm.NewClient(client(t, m.Address())).ListTopics(t.Context(), "after")
	if err != nil || len(topics["after"].Partitions) != 3 {
		t.Errorf("num.partitions of the file must hold: %v %v", topics["after"].Partitions.Numbers(), err)
	}
}

func await(t *testing.T, address string) {
	t.Helper()
	for range 200 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("nothing listens on %s", address)
}

func TestStartsThatMustBeRefused(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{})
	free := func() []string {
		return []string{"--kafka-addr", harness.FreeAddress(t), "--http-addr", harness.FreeAddress(t)}
	}
	fresh := t.TempDir()
	refused(t, []string{"no.such.key", "unknown setting"}, append([]string{"dev", "--data-dir", fresh, "--set", "no.such.key=1"}, free()...)...)
	refused(t, []string{"num.partitions"}, append([]string{"dev", "--data-dir", fresh, "--set", "num.partitions=none"}, free()...)...)
	refused(t, []string{m.Address(), "another process"}, "dev", "--data-dir", fresh, "--kafka-addr", m.Address(), "--http-addr", harness.FreeAddress(t))
	refused(t, []string{m.HTTPAddress(), "another process"}, "dev", "--data-dir", fresh, "--kafka-addr", harness.FreeAddress(t), "--http-addr", m.HTTPAddress())
	refused(t, []string{"in use by another running process"}, append([]string{"dev", "--data-dir", m.DataDir()}, free()...)...)
	file := filepath.Join(fresh, "file")
	if err := os.WriteFile(file, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{file}, append([]string{"dev", "--data-dir", filepath.Join(file, "below")}, free()...)...)
	refused(t, []string{"0.0.0.0", "authentication"}, "dev", "--data-dir", fresh, "--kafka-addr", "0.0.0.0:0")
	refused(t, []string{"missing.yaml"}, "broker", "start", "-c", filepath.Join(fresh, "missing.yaml"))
}

func TestForeignAndNewerDataIsRefused(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{})
	produce(t, m.Address(), "kept", 1)
	config := m.Ready().Nodes[0].Config
	m.Stop()
	refused(t, []string{"cluster"}, "broker", "start", "-c", config, "--set", "cluster.id=AAAAAAAAAAAAAAAAAAAAAA")
	refused(t, []string{"node"}, "broker", "start", "-c", config, "--set", "node.id=7")

	properties := filepath.Join(m.Ready().Nodes[0].DataDir, "logs", "meta.properties")
	text, err := os.ReadFile(properties)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(text, []byte("version=1"), []byte("version=99"), 1)
	if bytes.Equal(text, newer) {
		t.Fatalf("no version in %s:\n%s", properties, text)
	}
	if err := os.WriteFile(properties, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"version", "99"}, "broker", "start", "-c", config)
	if err := os.WriteFile(properties, text, 0o600); err != nil {
		t.Fatal(err)
	}
	m.Restart()
	if n := count(t, m.Address(), "kept"); n != 1 {
		t.Errorf("%d records after the refusals, want 1", n)
	}
}

func TestSIGTERMEndsParkedRequestsQuickly(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{})
	produce(t, m.Address(), "parked", 1)
	cl, err := kgo.NewClient(kgo.SeedBrokers(m.Address()), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("parked"), kgo.FetchMaxWait(20*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.CloseAllowingRebalance()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil {
			cl.PollFetches(ctx)
		}
	}()
	time.Sleep(4 * time.Second) // the initial rebalance delay is 3 s; now a fetch is parked
	began := time.Now()
	m.Stop() // fails the test when the exit code is not zero
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the stop took %v with a parked fetch", took)
	}
}

func TestEphemeralLeavesNothing(t *testing.T) {
	scratch := t.TempDir()
	cmd, ready := startEphemeral(t, scratch)
	produce(t, ready.Nodes[0].Kafka, "gone", 3)
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// What kill -9 leaves goes with the next start; what a running process uses, and what only looks alike, stays.
func TestNextEphemeralStartRemovesWhatAKillLeft(t *testing.T) {
	scratch := t.TempDir()
	alike := filepath.Join(scratch, "millrace-dev-notes")
	if err := os.Mkdir(alike, 0o700); err != nil {
		t.Fatal(err)
	}
	running, runningReady := startEphemeral(t, scratch)
	killed, killedReady := startEphemeral(t, scratch)
	_ = killed.Process.Kill()
	_ = killed.Wait()
	if _, err := os.Stat(killedReady.Nodes[0].DataDir); err != nil {
		t.Fatalf("kill -9 left nothing to remove: %v", err)
	}
	next, _ := startEphemeral(t, scratch)
	if _, err := os.Stat(filepath.Dir(killedReady.Nodes[0].DataDir)); !os.IsNotExist(err) {
		t.Errorf("the next start leaves what kill -9 left: %v", err)
	}
	produce(t, runningReady.Nodes[0].Kafka, "still", 1)
	for _, cmd := range []*exec.Cmd{running, next} {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("after SIGTERM: %v", err)
		}
	}
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(alike) {
		t.Errorf("left behind: %v %v, want only %s", left, err, alike)
	}
}

func startEphemeral(t *testing.T, scratch string) (*exec.Cmd, harness.Ready) {
	t.Helper()
	cmd := exec.Command(harness.MillraceBinary(t), "dev", "--ephemeral", "--format", "json", "--kafka-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "TMPDIR="+scratch)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // does nothing to one that has ended
	var ready harness.Ready
	if err := json.NewDecoder(stdout).Decode(&ready); err != nil {
		t.Fatalf("ready line: %v", err)
	}
	return cmd, ready
}
