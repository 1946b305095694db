package raft

import (
	"bytes"
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
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	hraft "github.com/hashicorp/raft"
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

func TestUnknownEntryFailsTheNode(t *testing.T) {
	q, m := start(t, testConfig(""))
	defer stop(t, q)
	m.refuse = "newer"
	if _, _, err := q.Propose([]byte("newer")); err == nil {
		t.Error("an entry that cannot be understood was acknowledged")
	}
	<-q.Failed()
	if q.Leads() || !strings.Contains(q.Err().Error(), "newer release") {
		t.Errorf("leads %v, error %v", q.Leads(), q.Err())
	}
	if _, _, err := q.Propose([]byte("x")); err == nil {
		t.Error("a failed node acknowledged")
	}
}

// failingLog fails appends from the given one on.
type failingLog struct {
	hraft.LogStore
	left atomic.Int32
	err  error
}

func (s *failingLog) StoreLogs(logs []*hraft.Log) error {
	if s.left.Add(-1) < 0 {
		return s.err
	}
	return s.LogStore.StoreLogs(logs)
}

func TestFirstStorageErrorEndsEverything(t *testing.T) {
	for n := range 4 {
		t.Run(fmt.Sprint("append ", n), func(t *testing.T) {
			q, err := Open(testConfig(""), new(tape))
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, q)
			failing := &failingLog{LogStore: q.stores.logs, err: syscall.EIO}
			failing.left.Store(int32(n))
			q.stores.logs = &latchedLog{latch: q.latch, inner: failing}
			if err := q.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			acknowledged := 0
			for range 6 {
				if _, _, err := q.Propose([]byte("e")); err == nil {
					acknowledged++
				}
				failing.left.Store(max(failing.left.Load(), -1)) // the disk works again; the latch must not care
				if q.Err() != nil {
					failing.left.Store(100)
				}
			}
			if acknowledged != n {
				t.Errorf("%d entries were acknowledged, want %d", acknowledged, n)
			}
			if !errors.Is(q.Err(), syscall.EIO) || q.Leads() {
				t.Errorf("error %v, leads %v", q.Err(), q.Leads())
			}
			select {
			case <-q.Failed():
			default:
				t.Error("Failed is not closed")
			}
		})
	}
}

func TestFullDiskRefusesAndRecovers(t *testing.T) {
	q, err := Open(testConfig(""), new(tape))
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, q)
	failing := &failingLog{LogStore: q.stores.logs, err: syscall.ENOSPC}
	failing.left.Store(1)
	q.stores.logs = &latchedLog{latch: q.latch, inner: failing}
	if err := q.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	propose(t, q, "a")
	if _, _, err := q.Propose([]byte("b")); !errors.Is(err, ErrNoSpace) {
		t.Errorf("on a full disk: %v, want ErrNoSpace", err)
	}
	failing.left.Store(100)
	deadline := time.After(10 * time.Second)
	for {
		if _, _, err := q.Propose([]byte("c")); err == nil {
			break
		} else if q.Err() != nil {
			t.Fatal(q.Err())
		}
		select {
		case <-deadline:
			t.Fatal("the node did not recover when space returned")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

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

func TestStateFileSurvivesATornSlot(t *testing.T) {
	path := filepath.Join(t.TempDir(), stateFile)
	solo := new(atomic.Bool)
	s, err := openStateFile(path, solo)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.create(identity{nodeID: 1, clusterID: "c"}); err != nil {
		t.Fatal(err)
	}
	for term := uint64(2); term <= 5; term++ {
		if err := errors.Join(s.SetUint64(keyCurrentTerm, term), s.SetUint64(keyLastVoteTerm, term), s.Set(keyLastVoteCand, []byte("1"))); err != nil {
			t.Fatal(err)
		}
	}
	newest := 1 + s.sequence%2
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range stateSlotSize {
		torn := bytes.Clone(p)
		clear(torn[newest*stateSlotSize+uint64(cut) : (newest+1)*stateSlotSize])
		back := &stateFileStore{solo: solo}
		if err := back.decode(torn); err != nil {
			t.Fatal(err)
		}
		if back.identity.clusterID != "c" || back.term < 5 || back.voteTerm != 4 && back.voteTerm != 5 {
			t.Fatalf("torn at %d: %+v", cut, back)
		}
	}
}

func TestOnlyVoterHoldsBackEmptyEntries(t *testing.T) {
	solo := new(atomic.Bool)
	solo.Store(true)
	inner := hraft.NewInmemStore()
	s := newSoloLog(inner, solo)
	if err := s.StoreLog(&hraft.Log{Index: 1, Type: hraft.LogNoop}); err != nil {
		t.Fatal(err)
	}
	if last, _ := inner.LastIndex(); last != 0 {
		t.Error("an empty entry was written")
	}
	var got hraft.Log
	if last, _ := s.LastIndex(); last != 1 || s.GetLog(1, &got) != nil || got.Index != 1 {
		t.Errorf("the held entry is not there: last %d, %+v", last, got)
	}
	if err := s.StoreLog(&hraft.Log{Index: 2, Type: hraft.LogCommand}); err != nil {
		t.Fatal(err)
	}
	if first, _ := inner.FirstIndex(); first != 1 {
		t.Errorf("the log begins at %d: the held entry was not written with the next", first)
	}
	two := hraft.Configuration{Servers: []hraft.Server{{ID: "1", Address: "1"}, {ID: "2", Address: "2"}}}
	if err := s.StoreLogs([]*hraft.Log{{Index: 3, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(two)}, {Index: 4, Type: hraft.LogNoop}}); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLog(&hraft.Log{Index: 5, Type: hraft.LogNoop}); err != nil {
		t.Fatal(err)
	}
	if last, _ := inner.LastIndex(); last != 5 {
		t.Errorf("with two voters the log ends at %d: an entry was held back", last)
	}
}
