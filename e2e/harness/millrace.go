package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// MillraceConfig is what a test chooses of a Millrace it starts.
type MillraceConfig struct {
	DataDir   string            // default: a temporary directory
	Ephemeral bool              // --ephemeral instead of a data directory
	Settings  map[string]string // --set KEY=VALUE
	Arguments []string          // further arguments of `millrace dev`
	Allowed   []*regexp.Regexp  // ERROR lines that the test provokes
	Race      bool              // build with the race detector
	Planted   string            // a fault of broker/planted, in a binary that can have one; "": the ordinary binary
	Prefix    []string          // a program that runs Millrace, with its arguments: strace -f ...
}

// Millrace is one running `millrace dev`; Restart starts it again on the same addresses and data.
type Millrace struct {
	t       testing.TB
	config  MillraceConfig
	binary  string
	kafka   string
	http    string
	logPath string
	process *Process
	ready   Ready
}

// Ready is what `millrace dev --format json` prints once it serves.
type Ready struct {
	Nodes []struct {
		ID      int32  `json:"id"`
		PID     int    `json:"pid"`
		Kafka   string `json:"kafka"`
		HTTP    string `json:"http"`
		DataDir string `json:"data_dir"`
		Config  string `json:"config"`
	} `json:"nodes"`
}

// readyWithin bounds a start, recovery included.
const readyWithin = 60 * time.Second

// MillraceBinary builds the static binary of this tree once per test process and returns its path.
func MillraceBinary(t testing.TB) string { return built(t, buildStatic) }

// PlantedBinary builds the binary that can have a fault of broker/planted once per test process and returns its path.
func PlantedBinary(t testing.TB) string { return built(t, buildPlanted) }

var (
	buildStatic  = sync.OnceValues(func() (string, error) { return buildMillrace("millrace", "CGO_ENABLED=0") })
	buildRace    = sync.OnceValues(func() (string, error) { return buildMillrace("millrace-race", "", "-race") })
	buildPlanted = sync.OnceValues(func() (string, error) { return buildMillrace("millrace-planted", "CGO_ENABLED=0", "-tags", "planted") })
)

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("build millrace: %v", err)
	}
	return path
}

// builtBinary is the binary of a configuration.
func builtBinary(t testing.TB, race bool, planted string) string {
	t.Helper()
	switch {
	case race:
		return built(t, buildRace)
	case planted != "":
		return built(t, buildPlanted)
	}
	return built(t, buildStatic)
}

// environment is that of a process with a planted fault; nil: that of the test.
func environment(planted string) []string {
	if planted == "" {
		return nil
	}
	return append(os.Environ(), "MILLRACE_PLANTED="+planted)
}

func buildMillrace(name, environment string, flags ...string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := binaryDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	cmd := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), "./cmd/millrace")...)
	if environment != "" {
		cmd.Env = append(os.Environ(), environment)
	}
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// binaryDir makes this test process's directory for binaries and removes those of processes that have ended: nothing
// runs at the end of a test process that could remove its own.
func binaryDir() (string, error) {
	const prefix = "millrace-e2e-bin-"
	old, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range old {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // another process may be removing it, too
		}
	}
	dir := filepath.Join(os.TempDir(), prefix+strconv.Itoa(os.Getpid()))
	return dir, os.MkdirAll(dir, 0o755)
}

// moduleRoot is the directory of the main module's go.mod, whatever the directory of the test.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/millrace-io/millrace").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// StartMillrace starts one node on free loopback ports and returns once it serves. At the end of the test the node is
// stopped and its log judged.
func StartMillrace(t testing.TB, config MillraceConfig) *Millrace {
	t.Helper()
	if config.DataDir == "" && !config.Ephemeral {
		config.DataDir = t.TempDir()
	}
	m := &Millrace{
		t: t, config: config, binary: builtBinary(t, config.Race, config.Planted), kafka: FreeAddress(t), http: FreeAddress(t),
		logPath: filepath.Join(logDir(t), "millrace.log"),
	}
	t.Cleanup(m.judge)
	m.Restart()
	t.Cleanup(m.Stop)
	return m
}

// Restart starts the node after Stop or Kill and returns once it serves.
func (m *Millrace) Restart() {
	m.t.Helper()
	line := append(append(slices.Clone(m.config.Prefix), m.binary), m.arguments()...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = environment(m.config.Planted)
	// Its own pipe, not StdoutPipe: Wait would close that one under the reader.
	stdout, writer, err := os.Pipe()
	if err != nil {
		m.t.Fatalf("make a pipe: %v", err)
	}
	cmd.Stdout = writer
	m.process = startProcess(m.t, "millrace", cmd, m.logPath)
	writer.Close()
	announced := make(chan error, 1)
	go func() {
		defer stdout.Close()
		line, err := bufio.NewReader(stdout).ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &m.ready)
		}
		announced <- err
		_, _ = io.Copy(io.Discard, stdout)
	}()
	select {
	case err := <-announced:
		if err != nil || len(m.ready.Nodes) == 0 {
			<-m.process.Gone()
			m.t.Fatalf("millrace did not announce itself: %v (%v); its log:\n%s", err, m.process.exit(), tail(m.logPath, 40))
		}
	case <-time.After(readyWithin):
		m.process.signal(syscall.SIGQUIT)
		m.t.Fatalf("millrace was not ready within %v; its log:\n%s", readyWithin, tail(m.logPath, 80))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := awaitListening(ctx, m.kafka, m.process.Gone()); err != nil {
		m.t.Fatalf("millrace: %v; its log:\n%s", err, tail(m.logPath, 40))
	}
}

func (m *Millrace) arguments() []string {
	args := []string{"dev", "--kafka-addr", m.kafka, "--http-addr", m.http, "--format", "json"}
	if m.config.Ephemeral {
		args = append(args, "--ephemeral")
	} else {
		args = append(args, "--data-dir", m.config.DataDir)
	}
	keys := make([]string, 0, len(m.config.Settings))
	for key := range m.config.Settings {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		args = append(args, "--set", key+"="+m.config.Settings[key])
	}
	return append(args, m.config.Arguments...)
}

// Name says which server this is, for messages.
func (m *Millrace) Name() string { return "millrace" }

// Address is the Kafka listener, HOST:PORT.
func (m *Millrace) Address() string { return m.kafka }

// HTTPAddress is the listener of /metrics and /healthz, HOST:PORT.
func (m *Millrace) HTTPAddress() string { return m.http }

// DataDir is where the node keeps its data.
func (m *Millrace) DataDir() string { return m.config.DataDir }

// Binary is the path of the program that runs.
func (m *Millrace) Binary() string { return m.binary }

// PID is the id of the running process.
func (m *Millrace) PID() int { return m.process.PID() }

// SetPrefix changes MillraceConfig.Prefix for the next start.
func (m *Millrace) SetPrefix(program ...string) { m.config.Prefix = program }

// Gone is closed once the running process has ended.
func (m *Millrace) Gone() <-chan struct{} { return m.process.Gone() }

// Ready is what the node announced at its last start.
func (m *Millrace) Ready() Ready { return m.ready }

// Stop sends SIGTERM and waits for a clean end; a node that already ended is left alone.
func (m *Millrace) Stop() {
	m.t.Helper()
	select {
	case <-m.process.Gone():
		return
	default:
	}
	m.process.terminate(30 * time.Second)
	if err := m.process.exit(); err != nil {
		m.t.Errorf("millrace ended with %v after SIGTERM; the end of its log:\n%s", err, tail(m.logPath, 40))
	}
}

// Kill sends SIGKILL and waits for the end.
func (m *Millrace) Kill() { m.process.kill() }

// Log returns what all runs of this node have logged so far.
func (m *Millrace) Log() string {
	text, err := os.ReadFile(m.logPath)
	if err != nil {
		m.t.Errorf("read log: %v", err)
	}
	return string(text)
}

// Metrics returns the text of /metrics.
func (m *Millrace) Metrics() string {
	m.t.Helper()
	response, err := http.Get("http://" + m.http + "/metrics")
	if err != nil {
		m.t.Fatalf("read metrics: %v", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		m.t.Fatalf("read metrics: status %s, %v", response.Status, err)
	}
	return string(text)
}

// judge fails the test for every fault in the log.
func (m *Millrace) judge() { judgeFile(m.t, "millrace", m.logPath, m.config.Allowed) }

// judgeFile fails the test for every fault in a log, naming the first few.
func judgeFile(t testing.TB, name, logPath string, allowed []*regexp.Regexp) {
	f, err := os.Open(logPath)
	if err != nil {
		return // it never started, which has failed the test already
	}
	defer f.Close()
	faults, err := judgeLog(f, allowed)
	if err != nil {
		t.Errorf("read log: %v", err)
	}
	for i, fault := range faults {
		if i == 5 {
			t.Errorf("and %d more faults in the log of %s", len(faults)-i, name)
			break
		}
		t.Errorf("%s in the log of %s: %s", fault.kind, name, fault.line)
	}
	if t.Failed() {
		t.Logf("the end of the log of %s:\n%s", name, tail(logPath, 30))
	}
}
