package raft

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyDirectory is what a crash leaves: the files as they are at this moment.
func copyDirectory(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestCopyTakenAtAnyMomentHoldsWhatWasAcknowledged(t *testing.T) {
	cfg := testConfig(t.TempDir())
	q, _ := start(t, cfg)
	want := "begin"
	for i := range 5 {
		crashed := cfg
		crashed.Directory = copyDirectory(t, cfg.Directory)
		again, m := start(t, crashed)
		if m.text() != want {
			t.Errorf("the copy after %d entries knows %q, want %q", i, m.text(), want)
		}
		propose(t, again, "x")
		stop(t, again)
		propose(t, q, fmt.Sprint("e", i))
		want += fmt.Sprint(" e", i)
	}
	stop(t, q)
}

func TestFirstStartCutOffAnywhereIsBegunAgain(t *testing.T) {
	whole := testConfig(t.TempDir())
	q, _ := start(t, whole)
	stop(t, q)
	state, err := os.ReadFile(filepath.Join(whole.Directory, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(whole.Directory, logFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, files := range []map[string][]byte{
		{},
		{stateFile: nil},
		{stateFile: state[:100]},
		{stateFile: bytes.Repeat([]byte{0}, 1536)},
		{stateFile: state[:stateSlotSize]},
		{stateFile: state},
		{stateFile: state, logFileNew: log[:4096]},
		{stateFile: state, logFileNew: log},
		{stateFile: state[:10], logFileNew: nil},
	} {
		cfg := testConfig(t.TempDir())
		for name, p := range files {
			if err := os.WriteFile(filepath.Join(cfg.Directory, name), p, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		q, m := start(t, cfg)
		if m.text() != "begin" {
			t.Errorf("%d files: state %q", len(files), m.text())
		}
		propose(t, q, "a")
		stop(t, q)
		q, m = start(t, cfg)
		if m.text() != "begin a" {
			t.Errorf("%d files, second start: state %q", len(files), m.text())
		}
		stop(t, q)
	}
}

func TestOpenRefuses(t *testing.T) {
	cfg := testConfig(t.TempDir())
	q, _ := start(t, cfg)
	if _, err := Open(cfg, new(tape)); !errors.Is(err, ErrLocked) {
		t.Errorf("while it is in use: %v", err)
	}
	stop(t, q)
	tests := map[string]struct {
		change func(dir string, cfg *Config)
		want   string
	}{
		"other cluster": {func(_ string, cfg *Config) { cfg.ClusterID = "zzz" }, "it holds the metadata of cluster"},
		"other node":    {func(_ string, cfg *Config) { cfg.NodeID = 9 }, "it holds the metadata of node 1, this node is 9"},
		"state missing": {func(dir string, _ *Config) { _ = os.Remove(filepath.Join(dir, stateFile)) }, "damaged or missing"},
		"newer format": {func(dir string, _ *Config) {
			p, _ := os.ReadFile(filepath.Join(dir, stateFile))
			p[len(stateMagic)] = 9
			_ = os.WriteFile(filepath.Join(dir, stateFile), p, 0o600)
		}, "written by a newer release"},
		"log damaged": {func(dir string, _ *Config) {
			_ = os.WriteFile(filepath.Join(dir, logFile), bytes.Repeat([]byte{7}, 1<<16), 0o600)
		}, "open raft.db"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			changed := cfg
			changed.Directory = copyDirectory(t, cfg.Directory)
			tt.change(changed.Directory, &changed)
			q, err := Open(changed, new(tape))
			if err == nil {
				stop(t, q)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
