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

	// Streams and Address make it a member of a quorum that may have several; both are empty for a node that is alone.
	Streams Streams
	Address string
	Limits  Limits
	// Expected reports whether a node that is not there is waited for. Who has no vote, is not expected and was silent for
	// Limits.ForgetAfter is no member any more; it may come back. nil: everybody is expected.
	Expected func(nodeID int32) bool
}

// Limits are the limits of the log; zeros stand for the defaults. A snapshot is made when either of the first two is
// reached since the last one.
type Limits struct {
	SnapshotEntries  uint64
	SnapshotBytes    int
	TrailingEntries  uint64 // kept behind a snapshot, for followers that are a little late
	SnapshotInterval time.Duration
	ForgetAfter      time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.SnapshotEntries == 0 {
		l.SnapshotEntries = 8192
	}
	if l.SnapshotBytes == 0 {
		l.SnapshotBytes = 16 << 20
	}
	if l.TrailingEntries == 0 {
		l.TrailingEntries = 1024
	}
	if l.SnapshotInterval == 0 {
		l.SnapshotInterval = 2 * time.Minute
	}
	if l.ForgetAfter == 0 {
		l.ForgetAfter = 10 * time.Second
	}
	return l
}

// How long a follower waits for its leader before it stands for election (and up to twice that, at random), and how long a
// leader goes on without the answers of a majority.
const (
	heartbeatTimeout = time.Second
	electionTimeout  = time.Second
	leaderLease      = 500 * time.Millisecond
)

// Errors of Propose and of changes of the membership.
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
	fsm       *fsm
	self      Member          // fixed after Open
	alone     hraft.Transport // of a node that is alone; nil otherwise
	transport *transport      // of one that is not, made by Start
	raft      *hraft.Raft     // made by Start
	running   atomic.Pointer[hraft.Raft]
	shutdown  func() hraft.Future // of raft, once
	stop      chan struct{}
	joined    sync.WaitGroup
	leadsTerm atomic.Uint64 // the term in which it leads and has applied everything that earlier leaders committed; 0: none
	stoodAt   atomic.Int64  // when it last stood for election without a timeout, in nanoseconds of Unix time
	gainedAt  atomic.Int64  // when leadsTerm was set, in nanoseconds of Unix time
	handing   atomic.Bool   // leadership is being handed over, or was, because the node stops
	leading   chan struct{} // a token for each time leadsTerm was set
	cut       cutLog        // what hashicorp/raft appends to; its log is set by Start
	leader    *leaderWatch
}

// Open opens the stores. Nothing runs before Start; a member that is not alone and has no log yet needs Found or Join
// before that.
func Open(cfg Config, machine StateMachine) (*Quorum, error) {
	cfg.Limits = cfg.Limits.withDefaults()
	latch, solo := newLatch(), new(atomic.Bool)
	stores, err := openStores(cfg, latch, solo, newLogger(cfg.Logger))
	if err != nil {
		return nil, err
	}
	q := &Quorum{
		cfg: cfg, latch: latch, solo: solo, stores: stores, stop: make(chan struct{}), leading: make(chan struct{}, 1),
		self: Member{NodeID: cfg.NodeID, DirectoryID: stores.identity.directoryID, Address: cfg.Address}, leader: newLeaderWatch(),
	}
	q.cut.latch = latch
	q.fsm = newFSM(machine, latch, cfg.Limits.SnapshotBytes)
	if cfg.Streams != nil {
		if err := q.self.validate(); err != nil {
			return nil, errors.Join(fmt.Errorf("open metadata directory %s: it was made for a node that is alone: %w", cfg.Directory, err), stores.close())
		}
		return q, nil
	}
	_, t := hraft.NewInmemTransport(q.self.serverAddress())
	t.Connect(t.LocalAddr(), t)
	q.alone = t
	return q, nil
}

// HasLog reports whether the member knows its cluster. One that does not needs Found or Join before Start.
func (q *Quorum) HasLog() bool { return q.stores.begin == nil }

// Found makes this member's log the beginning of a new cluster with these voters, of which it is one. At most one member
// ever does it, after all of them have said who they are.
func (q *Quorum) Found(voters []Member) error {
	clusterID := q.cfg.ClusterID
	if clusterID == "" {
		clusterID = NewClusterID()
	}
	if err := q.stores.begin(beginning{clusterID: clusterID, founders: voters}); err != nil {
		return fmt.Errorf("found metadata quorum: %w", err)
	}
	return nil
}

// Join makes this member one of a cluster that is there, with an empty log.
func (q *Quorum) Join(clusterID string) error {
	if q.cfg.ClusterID != "" && q.cfg.ClusterID != clusterID {
		return fmt.Errorf("join metadata quorum: the others belong to cluster %s, this node to cluster %s", clusterID, q.cfg.ClusterID)
	}
	if err := q.stores.begin(beginning{clusterID: clusterID}); err != nil {
		return fmt.Errorf("join metadata quorum: %w", err)
	}
	return nil
}

// ClusterID returns the id of the cluster that the directory belongs to, "" while it is not known.
func (q *Quorum) ClusterID() string { return q.stores.identity.clusterID }

// Self returns this member.
func (q *Quorum) Self() Member { return q.self }

// Failed is closed after the first storage error.
func (q *Quorum) Failed() <-chan struct{} { return q.latch.failed }

// Err returns the first storage error.
func (q *Quorum) Err() error { return q.latch.Err() }

// Start joins the quorum. An only voter leads when Start returns.
func (q *Quorum) Start(ctx context.Context) error {
	logs := newSoloLog(q.stores.logs, q.solo)
	cache, err := hraft.NewLogCache(512, logs)
	if err != nil {
		return fmt.Errorf("start metadata quorum: %w", err)
	}
	q.cut.LogStore = &edgeLog{LogStore: cache, snapshots: q.stores.snapshots, leads: q.mayLead}
	ending := &endingLog{LogStore: &q.cut, latch: q.latch}
	var raft *hraft.Raft
	if raft, err = hraft.NewRaft(q.raftConfig(), q.fsm, ending, q.stores.stable, q.stores.snapshots, q.openTransport()); err != nil {
		return fmt.Errorf("start metadata quorum: %w", errors.Join(err, q.latch.Err()))
	}
	q.raft, q.shutdown = raft, sync.OnceValue(raft.Shutdown)
	q.running.Store(raft)
	ending.armed.Store(true)
	q.joined.Go(q.watchLeadership)
	q.joined.Go(q.watchLeader)
	q.joined.Go(q.watchFailure)
	q.joined.Go(q.makeSnapshots)
	q.joined.Go(q.watchSpace)
	if q.transport != nil {
		q.joined.Go(q.watchStreams)
		q.joined.Go(q.tendMembers)
	}
	return q.startAlone(ctx)
}

// mayLead reports whether hashicorp/raft may act as a leader here.
func (q *Quorum) mayLead() bool {
	r := q.running.Load()
	return r == nil || r.State() == hraft.Leader
}

func (q *Quorum) raftConfig() *hraft.Config {
	cfg := hraft.DefaultConfig()
	cfg.LocalID = q.self.serverID()
	cfg.Logger = newLogger(q.cfg.Logger)
	cfg.HeartbeatTimeout, cfg.ElectionTimeout, cfg.LeaderLeaseTimeout = heartbeatTimeout, electionTimeout, leaderLease
	cfg.CommitTimeout = commitTimeout
	l := q.cfg.Limits
	cfg.SnapshotThreshold, cfg.SnapshotInterval, cfg.TrailingLogs = l.SnapshotEntries, l.SnapshotInterval, l.TrailingEntries
	cfg.NoLegacyTelemetry = true
	cfg.ShutdownOnRemove = false // a member that was removed may be admitted again
	return cfg
}

func (q *Quorum) openTransport() hraft.Transport {
	if q.alone != nil {
		return q.alone
	}
	q.transport = newTransport(q.cfg.Streams, q.self.serverAddress(), q.cfg.Logger, q.running.Load, q.Barred)
	q.fsm.onApply = q.transport.tellAll
	return q.transport
}

// startAlone makes an only voter the leader. A member that is alone and finds others in its log cannot go on.
func (q *Quorum) startAlone(ctx context.Context) error {
	servers := q.servers()
	only := voterCount(servers) == 1 && hasVoter(servers, q.self.serverID())
	if q.alone == nil {
		if only {
			return q.electSelf(ctx)
		}
		return nil
	}
	if !only {
		return errors.New("start metadata quorum: the metadata directory belongs to a cluster of several nodes, but this node is configured to be alone: cluster.address is missing")
	}
	q.solo.Store(len(servers.Servers) == 1)
	return q.electSelf(ctx)
}

func (q *Quorum) servers() hraft.Configuration { return q.raft.GetConfiguration().Configuration() }

// electSelf makes an only voter the leader now instead of after a timeout.
func (q *Quorum) electSelf(ctx context.Context) error {
	q.Stand()
	select {
	case <-q.leading:
		return nil
	case <-q.latch.failed:
		return fmt.Errorf("elect only voter: %w", q.latch.Err())
	case <-ctx.Done():
		return fmt.Errorf("elect only voter: %w", ctx.Err())
	}
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

// watchFailure leaves the quorum at the first storage error: what this member would say from here on is not to be trusted.
func (q *Quorum) watchFailure() {
	select {
	case <-q.latch.failed:
		q.shutdown() // Close waits for it
		if q.transport != nil {
			q.transport.shut()
		}
		q.leader.moved()
	case <-q.stop:
	}
}

// Propose appends an entry to the log and returns its index and the state machine's answer once it is applied here.
func (q *Quorum) Propose(entry []byte) (index uint64, answer any, err error) {
	if err := q.latch.Err(); err != nil {
		return 0, nil, err
	}
	if q.handing.Load() {
		return 0, nil, ErrNotLeader
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

// Close hands leadership over, leaves the quorum and closes the stores.
func (q *Quorum) Close() error {
	q.HandOver()
	close(q.stop)
	q.leadsTerm.Store(0)
	if q.transport != nil {
		q.transport.shut() // first, so that no request to another member holds up the rest
	}
	if q.raft != nil {
		_ = q.shutdown().Error()
	}
	q.joined.Wait()
	var err error
	if q.alone != nil {
		err = q.alone.(hraft.WithClose).Close()
	} else if q.transport != nil {
		err = q.transport.Close()
	}
	return errors.Join(err, q.stores.close())
}
