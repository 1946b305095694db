package raft

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is a state machine that remembers every entry.
type tape struct {
	mu      sync.Mutex
	entries []string
	index   uint64
	refuse  string // an entry that it does not understand
}

func (m *tape) Apply(index uint64, entry []byte) (any, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != "" && string(entry) == m.refuse {
		return nil, errors.New("written by a newer release")
	}
	m.entries, m.index = append(m.entries, string(entry)), index
	return "did " + string(entry), nil
}

func (m *tape) Snapshot() func() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := binary.BigEndian.AppendUint64(nil, m.index)
	p = append(p, strings.Join(m.entries, "\n")...)
	return func() []byte { return p }
}

func (m *tape) Restore(r io.Reader) (uint64, error) {
	p, err := io.ReadAll(r)
	if err != nil || len(p) < 8 {
		return 0, fmt.Errorf("short snapshot: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.index, m.entries = binary.BigEndian.Uint64(p), strings.Split(string(p[8:]), "\n")
	return m.index, nil
}

func (m *tape) text() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.entries, " ")
}

func testConfig(directory string) Config {
	return Config{
		Directory: directory, NodeID: 1, InMemory: directory == "", Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Bootstrap: func(clusterID string) []byte { return []byte("begin") },
	}
}

func start(t testing.TB, cfg Config) (*Quorum, *tape) {
	t.Helper()
	m := new(tape)
	q, err := Open(cfg, m)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := q.Start(ctx); err != nil {
		t.Fatal(errors.Join(err, q.Close()))
	}
	return q, m
}

func propose(t testing.TB, q *Quorum, entry string) {
	t.Helper()
	if _, answer, err := q.Propose([]byte(entry)); err != nil || answer != "did "+entry {
		t.Fatalf("propose %s: %v, %v", entry, answer, err)
	}
}

func stop(t testing.TB, q *Quorum) {
	t.Helper()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOneVoterLeadsWhenStartReturns(t *testing.T) {
	for name, dir := range map[string]string{"on disk": t.TempDir(), "in memory": ""} {
		t.Run(name, func(t *testing.T) {
			q, m := start(t, testConfig(dir))
			defer stop(t, q)
			if !q.Leads() || m.text() != "begin" {
				t.Errorf("leads %v, state %q", q.Leads(), m.text())
			}
			propose(t, q, "a")
			s := q.State()
			if s.LeaderID != 1 || len(s.Voters) != 1 || s.CommitIndex != s.LastIndex || s.Term != 2 {
				t.Errorf("state is %+v", s)
			}
		})
	}
}

func TestRestartAppliesTheLogAgain(t *testing.T) {
	cfg := testConfig(t.TempDir())
	want := "begin"
	clusterID := ""
	for i := range 4 {
		q, m := start(t, cfg)
		if m.text() != want {
			t.Errorf("start %d knows %q, want %q", i, m.text(), want)
		}
		if clusterID != "" && q.ClusterID() != clusterID {
			t.Errorf("the cluster's id became %q", q.ClusterID())
		}
		clusterID = q.ClusterID()
		if i != 2 { // a start without an entry leaves the log as it was
			propose(t, q, fmt.Sprint("e", i))
			want += fmt.Sprint(" e", i)
		}
		stop(t, q)
	}
}

func TestSnapshotTruncatesTheLog(t *testing.T) {
	cfg := testConfig(t.TempDir())
	q, _ := start(t, cfg)
	big := strings.Repeat("x", 1<<20)
	for i := range 18 { // more than snapshotBytes
		propose(t, q, fmt.Sprint(i, big))
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if found, err := q.stores.snapshots.List(); err == nil && len(found) > 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no snapshot was made")
		}
		time.Sleep(10 * time.Millisecond)
	}
	propose(t, q, "after")
	stop(t, q)

	q, m := start(t, cfg)
	defer stop(t, q)
	if got := m.text(); !strings.HasSuffix(got, "x after") || strings.Count(got, " ") != 19 {
		t.Errorf("after the snapshot %d entries are known, the last %q", strings.Count(got, " ")+1, got[len(got)-10:])
	}
	propose(t, q, "more")
}

func TestDamagedSnapshotIsToldNotSkipped(t *testing.T) {
	cfg := testConfig(t.TempDir())
	q, _ := start(t, cfg)
	propose(t, q, "a")
	if err := q.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	stop(t, q)
	files, err := filepath.Glob(filepath.Join(cfg.Directory, "snapshots", "*", "state.bin"))
	if err != nil || len(files) != 1 {
		t.Fatalf("snapshot files %v, %v", files, err)
	}
	if err := os.WriteFile(files[0], []byte("damaged!"), 0o600); err != nil {
		t.Fatal(err)
	}
	q, err = Open(cfg, new(tape))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, q)
	if err := q.Start(t.Context()); err == nil {
		t.Error("a node without its state started")
	}
}
