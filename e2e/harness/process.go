package harness

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Process is one running program with its own process group and log file.
type Process struct {
	t       testing.TB
	name    string
	cmd     *exec.Cmd
	logPath string
	gone    chan struct{} // closed once the program has ended

	mu  sync.Mutex
	err error // how it ended; guarded by mu, set before gone is closed
}

// startProcess runs cmd, appending its standard error (and its standard output unless the caller took it) to logPath.
// The program is killed at the end of the test if it still runs then.
func startProcess(t testing.TB, name string, cmd *exec.Cmd, logPath string) *Process {
	t.Helper()
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatalf("open log of %s: %v", name, err)
	}
	if cmd.Stdout == nil {
		cmd.Stdout = logFile
	}
	cmd.Stderr = logFile
	cmd.SysProcAttr = ownGroup()
	if err := cmd.Start(); err != nil {
		logFile.Close()
		t.Fatalf("start %s: %v", name, err)
	}
	p := &Process{t: t, name: name, cmd: cmd, logPath: logPath, gone: make(chan struct{})}
	go func() {
		err := cmd.Wait()
		logFile.Close()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.gone)
	}()
	t.Cleanup(func() { p.signal(syscall.SIGKILL); <-p.gone })
	return p
}

// PID is the process id of the program.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Gone is closed once the program has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.gone: // its id may belong to somebody else by now
	default:
		_ = syscall.Kill(-p.PID(), s)
	}
}

// terminate asks the program to stop and waits; it fails the test when the program needs longer than limit or ends
// with an error that is not the signal itself.
func (p *Process) terminate(limit time.Duration) {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.gone:
	case <-time.After(limit):
		p.signal(syscall.SIGQUIT) // both Go and Java print their stacks into the log
		time.Sleep(time.Second)
		p.signal(syscall.SIGKILL)
		<-p.gone
		p.t.Errorf("%s did not stop within %v of SIGTERM; the end of its log:\n%s", p.name, limit, tail(p.logPath, 60))
	}
}

// exit returns the error with which the program ended; call it after Gone.
func (p *Process) exit() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *Process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.gone
}

// logDir is where the logs of a test's servers go: the directory named by MILLRACE_E2E_LOGS, so that they outlive the run,
// else one that is removed with the test.
func logDir(t testing.TB) string {
	if dir := os.Getenv("MILLRACE_E2E_LOGS"); dir != "" {
		dir = filepath.Join(dir, fmt.Sprintf("%s-%d", filepath.Base(t.Name()), os.Getpid()))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatalf("make log directory: %v", err)
		}
		return dir
	}
	return t.TempDir()
}

// tail returns about the last lines of a file, for messages.
func tail(path string, lines int) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	const window = 64 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil {
		_, _ = f.Seek(max(0, size-window), io.SeekStart)
	}
	text, _ := io.ReadAll(f)
	return lastLines(string(text), lines)
}
