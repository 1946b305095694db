package raft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	hraft "github.com/hashicorp/raft"
)

// StateMachine is what the log is applied to. Apply and Restore are called from one goroutine, in the order of the log.
type StateMachine interface {
	// Apply applies an entry and returns the answer for whoever proposed it. An error says that the entry cannot be
	// understood; the node fails, for its state would be another than that of the other voters from here on.
	Apply(index uint64, entry []byte) (answer any, err error)
	// Snapshot returns a function that encodes the state of this moment; it runs later and on another goroutine.
	Snapshot() (encode func() []byte)
	// Restore replaces the state and returns the index of the last entry in it.
	Restore(r io.Reader) (index uint64, err error)
}

// Config says what a member of the quorum needs. Fixed after Open.
type Config struct {
	Directory string
	NodeID    int32
	ClusterID string // "": that of the directory, or a new one
	InMemory  bool
	Bootstrap func(clusterID string) []byte // the first entry of a new cluster's log
	Logger    *slog.Logger
}

// The limits of the log. A snapshot is made when either is reached since the last one.
const (
	snapshotEntries  = 8192
	snapshotBytes    = 16 << 20
	trailingEntries  = 1024 // kept behind a snapshot, for followers that are a little late
	snapshotInterval = 2 * time.Minute
)

// Errors of Propose.
var (
	// ErrNotLeader says that the entry was not accepted and will not be applied.
	ErrNotLeader = errors.New("this node does not lead the metadata quorum")
	// ErrOutcomeUnknown says that the entry may or may not be applied.
	ErrOutcomeUnknown = errors.New("the leadership of the metadata quorum was lost while a change was under way")
	// ErrNoSpace says that the disk is full; the entry was not accepted.
	ErrNoSpace = errors.New("no space for the metadata log")
)

// Quorum is this node's membership in the metadata quorum.
type Quorum struct {
	cfg       Config
	latch     *latch
	solo      *atomic.Bool
	stores    *stores
	transport *hraft.InmemTransport
	raft      *hraft.Raft
	fsm       *fsm
	stop      chan struct{}
	joined    sync.WaitGroup
	leads     atomic.Bool   // leads, and has applied everything that earlier leaders committed
	leading   chan struct{} // a token for each time leads became true
	leader    *leaderWatch
}

// Open opens the stores and restores the newest snapshot. Nothing runs before Start.
func Open(cfg Config, machine StateMachine) (*Quorum, error) {
	logger := newLogger(cfg.Logger)
	latch, solo := newLatch(), new(atomic.Bool)
	stores, err := openStores(cfg, latch, solo, logger)
	if err != nil {
		return nil, err
	}
	q := &Quorum{cfg: cfg, latch: latch, solo: solo, stores: stores, stop: make(chan struct{}), leading: make(chan struct{}, 1), leader: newLeaderWatch()}
	q.fsm = newFSM(machine, latch)
	_, q.transport = hraft.NewInmemTransport(serverAddress(cfg.NodeID))
	q.transport.Connect(q.transport.LocalAddr(), q.transport)
	return q, nil
}

// ClusterID returns the id of the cluster that the directory belongs to.
func (q *Quorum) ClusterID() string { return q.stores.clusterID }

// Failed is closed after the first storage error.
func (q *Quorum) Failed() <-chan struct{} { return q.latch.failed }

// Err returns the first storage error.
func (q *Quorum) Err() error { return q.latch.Err() }

// Start joins the quorum. An only voter leads when Start returns.
func (q *Quorum) Start(ctx context.Context) error {
	cfg := hraft.DefaultConfig()
	cfg.LocalID = serverID(q.cfg.NodeID)
	cfg.Logger = newLogger(q.cfg.Logger)
	cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs = snapshotEntries, snapshotInterval, trailingEntries
	cfg.NoLegacyTelemetry = true
	logs := newSoloLog(q.stores.logs, q.solo)
	cache, err := hraft.NewLogCache(512, logs)
	if err != nil {
		return fmt.Errorf("start metadata quorum: %w", err)
	}
	if q.raft, err = hraft.NewRaft(cfg, q.fsm, cache, q.stores.stable, q.stores.snapshots, q.transport); err != nil {
		return fmt.Errorf("start metadata quorum: %w", errors.Join(err, q.latch.Err()))
	}
	q.joined.Go(q.watchLeadership)
	q.joined.Go(q.watchLeader)
	q.joined.Go(q.makeSnapshots)
	only := hraft.Server{ID: cfg.LocalID, Address: q.transport.LocalAddr()}
	servers := q.raft.GetConfiguration().Configuration()
	if voterCount(servers) != 1 || servers.Servers[0].ID != only.ID {
		return nil
	}
	q.solo.Store(true)
	return q.electSelf(ctx, only)
}

// electSelf asks the only voter, itself, to stand for election now instead of after a timeout.
func (q *Quorum) electSelf(ctx context.Context, self hraft.Server) error {
	request := &hraft.TimeoutNowRequest{RPCHeader: hraft.RPCHeader{ProtocolVersion: hraft.ProtocolVersionMax, ID: []byte(self.ID), Addr: []byte(self.Address)}}
	if err := q.transport.TimeoutNow(self.ID, self.Address, request, new(hraft.TimeoutNowResponse)); err != nil {
		return fmt.Errorf("elect only voter: %w", err)
	}
	select {
	case <-q.leading:
		return nil
	case <-q.latch.failed:
		return fmt.Errorf("elect only voter: %w", q.latch.Err())
	case <-ctx.Done():
		return fmt.Errorf("elect only voter: %w", ctx.Err())
	}
}

// watchLeadership runs until Close. A new leader may answer only after it has applied all that is in its log, because
// everything in it becomes committed.
func (q *Quorum) watchLeadership() {
	for {
		select {
		case leads := <-q.raft.LeaderCh():
			if leads {
				q.gained()
			} else {
				q.lost()
			}
		case <-q.stop:
			return
		}
	}
}

func (q *Quorum) gained() {
	if !q.catchUp() {
		return
	}
	q.cfg.Logger.Info("leads metadata quorum", "node.id", q.cfg.NodeID, "term", q.raft.CurrentTerm())
	q.leads.Store(true)
	q.leader.moved()
	select {
	case q.leading <- struct{}{}:
	default:
	}
}

func (q *Quorum) lost() {
	q.leads.Store(false)
	q.leader.moved()
	select {
	case <-q.stop: // by leaving
	default:
		q.cfg.Logger.Warn("lost leadership of metadata quorum", "node.id", q.cfg.NodeID)
	}
}

// catchUp waits until every command in the log has been applied; false when leadership or the node ended before.
func (q *Quorum) catchUp() bool {
	target, err := q.lastCommand()
	if err != nil {
		return false // the latch holds
	}
	for {
		applied, changed := q.fsm.position()
		if applied >= target {
			return true
		}
		select {
		case <-changed:
		case <-q.stop:
			return false
		case <-q.latch.failed:
			return false
		}
	}
}

func (q *Quorum) lastCommand() (uint64, error) {
	first, err := q.stores.logs.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := q.stores.logs.LastIndex()
	if err != nil {
		return 0, err
	}
	for index := last; index >= first && index > 0; index-- {
		var entry hraft.Log
		if err := q.stores.logs.GetLog(index, &entry); err != nil {
			return 0, err
		}
		if entry.Type == hraft.LogCommand {
			return index, nil
		}
	}
	return 0, nil
}

// makeSnapshots runs until Close and makes a snapshot when the entries since the last one have grown large. hashicorp/raft
// itself counts entries only.
func (q *Quorum) makeSnapshots() {
	for {
		select {
		case <-q.fsm.large:
			if err := q.raft.Snapshot().Error(); err != nil && !errors.Is(err, hraft.ErrNothingNewToSnapshot) && !errors.Is(err, hraft.ErrRaftShutdown) {
				q.cfg.Logger.Error("make metadata snapshot", "error", err)
			}
		case <-q.stop:
			return
		}
	}
}

// State is the quorum as this node sees it.
type State struct {
	LeaderID    int32 // -1: none
	Term        uint64
	CommitIndex uint64
	LastIndex   uint64
	Voters      []int32
	Observers   []int32
}

// State describes the quorum; before Start it has no members.
func (q *Quorum) State() State {
	if q.raft == nil {
		return State{LeaderID: -1}
	}
	s := State{LeaderID: -1, Term: q.raft.CurrentTerm(), CommitIndex: q.raft.CommitIndex(), LastIndex: q.raft.LastIndex()}
	if _, id := q.raft.LeaderWithID(); id != "" {
		s.LeaderID = nodeID(id)
	}
	for _, server := range q.raft.GetConfiguration().Configuration().Servers {
		if server.Suffrage == hraft.Voter {
			s.Voters = append(s.Voters, nodeID(server.ID))
		} else {
			s.Observers = append(s.Observers, nodeID(server.ID))
		}
	}
	return s
}

// Leads reports whether this node leads the quorum and has caught up.
func (q *Quorum) Leads() bool { return q.leads.Load() && q.latch.Err() == nil }

// Propose appends an entry to the log and returns its index and the state machine's answer once it is applied here.
func (q *Quorum) Propose(entry []byte) (index uint64, answer any, err error) {
	if err := q.latch.Err(); err != nil {
		return 0, nil, err
	}
	future := q.raft.Apply(entry, 0)
	if err := future.Error(); err != nil {
		return 0, nil, q.proposalError(err)
	}
	if err := q.latch.Err(); err != nil {
		return 0, nil, err
	}
	return future.Index(), future.Response(), nil
}

func (q *Quorum) proposalError(err error) error {
	switch {
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress):
		return ErrNotLeader
	case errors.Is(err, hraft.ErrRaftShutdown), errors.Is(err, hraft.ErrLeadershipLost), errors.Is(err, hraft.ErrAbortedByRestore):
		return ErrOutcomeUnknown
	case isNoSpace(err):
		return fmt.Errorf("%w: %w", ErrNoSpace, err)
	}
	return err
}

// Close leaves the quorum and closes the stores.
func (q *Quorum) Close() error {
	close(q.stop)
	q.leads.Store(false)
	var err error
	if q.raft != nil {
		err = q.raft.Shutdown().Error()
	}
	q.joined.Wait()
	return errors.Join(err, q.transport.Close(), q.stores.close())
}
