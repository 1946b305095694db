package process

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// devCluster is a running `millrace dev --nodes 3`.
type devCluster struct {
	t     *testing.T
	cmd   *exec.Cmd
	ready harness.Ready
	said  *lockedText // standard error
}

// lockedText gathers what a process says.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startDevCluster(t *testing.T, dir string) *devCluster {
	t.Helper()
	d := &devCluster{t: t, said: &lockedText{}}
	d.cmd = exec.Command(harness.MillraceBinary(t), "dev", "--nodes", "3", "--data-dir", dir, "--kafka-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--format", "json")
	d.cmd.Stderr = d.said
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.cmd.Process.Signal(syscall.SIGTERM); _ = d.cmd.Wait() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &d.ready)
	}
	if err != nil || len(d.ready.Nodes) != 3 {
		t.Fatalf("dev --nodes 3 did not announce three nodes: %v, %s\n%s", err, line, d.said)
	}
	return d
}

func (d *devCluster) client() *kgo.Client {
	d.t.Helper()
	var seeds []string
	for _, n := range d.ready.Nodes {
		seeds = append(seeds, n.Kafka)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.AllowAutoTopicCreation(), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(cl.Close)
	return cl
}

// awaitInSync waits until every partition has all of its replicas in sync, and that many of them.
func (d *devCluster) awaitInSync(cl *kgo.Client, replicas int) {
	d.t.Helper()
	harness.Await(d.t, "replicas in sync", time.Minute, func(ctx context.Context) (err error) {
		topics, err := kadm.NewClient(cl).ListTopicsWithInternal(ctx)
		if err != nil {
			return err
		}
		topics.EachPartition(func(p kadm.PartitionDetail) {
			if len(p.ISR) != replicas || len(p.Replicas) != replicas {
				err = errors.Join(err, fmt.Errorf("%s-%d: replicas %v, in sync %v", p.Topic, p.Partition, p.Replicas, p.ISR))
			}
		})
		return err
	})
}

func writeRecords(t *testing.T, cl *kgo.Client, topic string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range n {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: fmt.Appendf(nil, "value %d", i)}).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
}

func awaitSaid(t *testing.T, said *lockedText, text string) {
	t.Helper()
	harness.Await(t, "the line "+text, 20*time.Second, func(context.Context) error {
		if !strings.Contains(said.String(), text) {
			return fmt.Errorf("it said:\n%s", said)
		}
		return nil
	})
}

func awaitListening(t *testing.T, address string) {
	t.Helper()
	harness.Await(t, "a listener at "+address, time.Minute, func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

func TestDevClusterSurvivesAKillAndTakesTheNodeBack(t *testing.T) {
	d := startDevCluster(t, t.TempDir())
	pids := map[int]bool{d.cmd.Process.Pid: true}
	for i, n := range d.ready.Nodes {
		if n.ID != int32(i+1) || pids[n.PID] || n.Config != filepath.Join(n.DataDir, "millrace.yaml") {
			t.Errorf("announced %+v", n)
		}
		pids[n.PID] = true
	}
	cl := d.client()
	writeRecords(t, cl, "kept", 10)
	d.awaitInSync(cl, 3)

	first := d.ready.Nodes[0]
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	writeRecords(t, cl, "kept", 10)
	awaitSaid(t, d.said, fmt.Sprintf("node 1 (process %d) has ended: signal: killed; bring it back with: millrace broker start -c %s", first.PID, first.Config))

	again := exec.Command(harness.MillraceBinary(t), "broker", "start", "-c", first.Config)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = again.Process.Signal(syscall.SIGTERM)
		if err := again.Wait(); err != nil {
			t.Errorf("the node that came back, after SIGTERM: %v", err)
		}
	}()
	awaitListening(t, first.Kafka) // others may lead so soon that the client has metadata of before the kill, which it takes for good for a moment
	d.awaitInSync(cl, 3)
	if n := count(t, d.ready.Nodes[1].Kafka, "kept"); n != 20 {
		t.Errorf("%d records, 20 were acknowledged", n)
	}
}

func TestDevClusterStopsWhollyAndComesBack(t *testing.T) {
	dir := t.TempDir()
	d := startDevCluster(t, dir)
	writeRecords(t, d.client(), "kept", 5)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, d.said)
	}
	for _, n := range d.ready.Nodes {
		if err := syscall.Kill(n.PID, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("node %d still runs: %v", n.ID, err)
		}
	}
	again := startDevCluster(t, dir)
	for i, n := range again.ready.Nodes {
		if n.Kafka != d.ready.Nodes[i].Kafka {
			t.Errorf("node %d moved from %s to %s", n.ID, d.ready.Nodes[i].Kafka, n.Kafka)
		}
	}
	again.awaitInSync(again.client(), 3)
	if n := count(t, again.ready.Nodes[0].Kafka, "kept"); n != 5 {
		t.Errorf("%d records, 5 were acknowledged", n)
	}
}

// A node whose disk is new comes back as a learner under its old id, and gets its replicas again.
func TestNodeWithANewDiskRejoins(t *testing.T) {
	d := startDevCluster(t, t.TempDir())
	cl := d.client()
	writeRecords(t, cl, "kept", 10)
	d.awaitInSync(cl, 3)
	third := d.ready.Nodes[2]
	if err := syscall.Kill(third.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	awaitSaid(t, d.said, "node 3 (process")
	for _, part := range []string{"metadata", "logs"} {
		if err := os.RemoveAll(filepath.Join(third.DataDir, part)); err != nil {
			t.Fatal(err)
		}
	}
	again := exec.Command(harness.MillraceBinary(t), "broker", "start", "-c", third.Config)
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Process.Kill(); _ = again.Wait() }()
	d.awaitInSync(cl, 3)
	if n := count(t, d.ready.Nodes[0].Kafka, "kept"); n != 10 {
		t.Errorf("%d records, 10 were acknowledged", n)
	}
}

func TestClusterStartsThatMustBeRefused(t *testing.T) {
	d := startDevCluster(t, t.TempDir())
	first, second := d.ready.Nodes[0], d.ready.Nodes[1]
	refused(t, []string{"cluster.address", "another process"}, "broker", "start", "-c", first.Config,
		"--set", "kafka.address="+harness.FreeAddress(t), "--set", "http.address="+harness.FreeAddress(t), "--set", "data.directory="+t.TempDir())
	refused(t, []string{"use 1, 3 or 5"}, "dev", "--nodes", "2")
	refused(t, []string{"start it with --nodes 3"}, "dev", "--nodes", "1", "--data-dir", filepath.Dir(first.DataDir))
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait()
	refused(t, []string{"cluster"}, "broker", "start", "-c", first.Config, "--set", "cluster.id=AAAAAAAAAAAAAAAAAAAAAA")
	refused(t, []string{"node"}, "broker", "start", "-c", first.Config, "--set", "data.directory="+second.DataDir)
	refused(t, []string{"cluster.token_file", "holds no token"}, "broker", "start", "-c", first.Config, "--set", "cluster.token_file=/dev/null")
}
