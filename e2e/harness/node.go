package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Node is one process of a Cluster: `millrace broker start -c` of a written file.
type Node struct {
	t          testing.TB
	cluster    *Cluster
	id         int
	binary     string
	kafka      string
	http       string
	peer       string
	dataDir    string
	configPath string
	logPath    string
	prefix     []string // a program that runs Millrace, with its arguments
	allowed    []*regexp.Regexp
	process    *Process // nil before the first start
	paused     bool
}

// Write writes the node's millrace.yaml.
func (n *Node) Write() {
	n.t.Helper()
	sections := map[string][]string{}
	for key, value := range n.cluster.settings(n) {
		section, name, ok := strings.Cut(key, "/")
		if !ok {
			section, name, _ = strings.Cut(key, ".")
		}
		sections[section] = append(sections[section], fmt.Sprintf("  %s: %q\n", name, value))
	}
	var text strings.Builder
	names := make([]string, 0, len(sections))
	for name := range sections {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		slices.Sort(sections[name])
		text.WriteString(name + ":\n" + strings.Join(sections[name], ""))
	}
	if err := os.WriteFile(n.configPath, []byte(text.String()), 0o600); err != nil {
		n.t.Fatalf("write the configuration of node %d: %v", n.id, err)
	}
}

// Start starts the process and does not wait.
func (n *Node) Start() {
	n.t.Helper()
	line := append(slices.Clone(n.prefix), n.binary, "broker", "start", "-c", n.configPath)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = environment(n.cluster.config.Planted)
	n.process = startProcess(n.t, fmt.Sprintf("node %d", n.id), cmd, n.logPath)
	n.paused = false
}

// AwaitServing waits until the node accepts Kafka connections.
func (n *Node) AwaitServing() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	if err := awaitListening(ctx, n.kafka, n.process.Gone()); err != nil {
		if n.Running() {
			n.process.signal(syscall.SIGQUIT) // its stacks say what it waits for
			<-n.process.Gone()
		}
		n.t.Fatalf("node %d: %v (%v); its log:\n%s", n.id, err, n.process.exit(), tail(n.logPath, 60))
	}
}

// Restart starts the node after Stop or Kill and returns once it serves.
func (n *Node) Restart() {
	n.t.Helper()
	n.Start()
	n.AwaitServing()
}

// Running reports whether the process lives.
func (n *Node) Running() bool {
	if n.process == nil {
		return false
	}
	select {
	case <-n.process.Gone():
		return false
	default:
		return true
	}
}

// Stop sends SIGTERM and waits for a clean end; a node that does not run is left alone.
func (n *Node) Stop() {
	n.t.Helper()
	if !n.Running() {
		return
	}
	n.Resume()
	n.process.terminate(30 * time.Second)
	if err := n.process.exit(); err != nil {
		n.t.Errorf("node %d ended with %v after SIGTERM; the end of its log:\n%s", n.id, err, tail(n.logPath, 40))
	}
}

// Kill sends SIGKILL and waits for the end.
func (n *Node) Kill() {
	if n.Running() {
		n.process.kill()
	}
}

// Pause stops the process with SIGSTOP; its connections stay open and nothing is answered.
func (n *Node) Pause() {
	n.process.signal(syscall.SIGSTOP)
	n.paused = true
}

// Resume lets a paused process go on.
func (n *Node) Resume() {
	if n.paused {
		n.process.signal(syscall.SIGCONT)
		n.paused = false
	}
}

// ID is the node id.
func (n *Node) ID() int { return n.id }

// Address is the Kafka listener, HOST:PORT.
func (n *Node) Address() string { return n.kafka }

// PeerAddress is the inter-broker listener, HOST:PORT.
func (n *Node) PeerAddress() string { return n.peer }

// HTTPAddress is the listener of /metrics and /healthz, HOST:PORT.
func (n *Node) HTTPAddress() string { return n.http }

// DataDir is where the node keeps its data.
func (n *Node) DataDir() string { return n.dataDir }

// PID is the id of the running process.
func (n *Node) PID() int { return n.process.PID() }

// Gone is closed once the running process has ended.
func (n *Node) Gone() <-chan struct{} { return n.process.Gone() }

// Log returns what all runs of this node have logged so far.
func (n *Node) Log() string {
	text, err := os.ReadFile(n.logPath)
	if err != nil {
		n.t.Errorf("read log: %v", err)
	}
	return string(text)
}

// Get returns the body of one page of the node's HTTP listener.
func (n *Node) Get(path string) (status int, body string, err error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + n.http + path)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// judge fails the test for every fault in the log.
func (n *Node) judge() { judgeFile(n.t, fmt.Sprintf("node %d", n.id), n.logPath, n.allowed) }
