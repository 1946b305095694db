package harness

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// StartProgram runs a program with a log of its own, for tests that kill it. It ends with the test.
func StartProgram(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	return startProcess(t, name, cmd, filepath.Join(logDir(t), name+".log"))
}

// Kill sends SIGKILL and waits for the end.
func (p *Process) Kill() { p.kill() }

// Terminate sends SIGTERM and waits; the test fails when the program needs longer than limit.
func (p *Process) Terminate(limit time.Duration) { p.terminate(limit) }

// Log returns about the last lines of what the program printed, for messages.
func (p *Process) Log(lines int) string { return tail(p.logPath, lines) }
