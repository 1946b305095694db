package raft

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	hclog "github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

const (
	logFile       = "raft.db"
	logFileNew    = "raft.db.new" // being made by a first start
	bootstrapTerm = 1

	snapshotsKept = 2
)

// stores is where a quorum member keeps its data.
type stores struct {
	identity  identity // its cluster id is empty before there is a log
	logs      hraft.LogStore
	stable    hraft.StableStore
	snapshots hraft.SnapshotStore
	// begin makes the log of a member to be; nil when there is one.
	begin func(beginning) error
	probe func() error // whether the disk takes anything
	close func() error
}

// beginning is how a log begins: with the entries of a new cluster and its first voters, or empty, to be filled by the
// leader of the cluster that the member belongs to.
type beginning struct {
	clusterID string
	founders  []Member // nil: empty
}

// openStores opens the directory. A node that is alone makes what is not there; one that is not leaves that to begin.
func openStores(cfg Config, latch *latch, solo *atomic.Bool, logger hclog.Logger) (*stores, error) {
	if cfg.InMemory {
		return openMemory(cfg)
	}
	if err := os.MkdirAll(cfg.Directory, 0o750); err != nil {
		return nil, fmt.Errorf("create metadata directory: %w", err)
	}
	state, err := openStateFile(filepath.Join(cfg.Directory, stateFile), solo)
	if err != nil {
		return nil, fmt.Errorf("open metadata directory %s: %w", cfg.Directory, err)
	}
	d := &directory{cfg: cfg, latch: latch, state: state}
	if err := d.open(logger); err != nil {
		return nil, fmt.Errorf("open metadata directory %s: %w", cfg.Directory, errors.Join(err, d.close()))
	}
	return &d.stores, nil
}

// directory is the stores on disk.
type directory struct {
	stores
	cfg   Config
	latch *latch
	state *stateFileStore
	log   *raftboltdb.BoltStore // nil before there is one
}

func (d *directory) open(logger hclog.Logger) error {
	d.stores.close = d.close
	d.probe = func() error { return probeSpace(d.cfg.Directory) }
	path := filepath.Join(d.cfg.Directory, logFile)
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = d.prepare()
	case err == nil:
		err = d.openLog(path)
	}
	if err != nil {
		return err
	}
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(d.cfg.Directory, snapshotsKept, logger)
	if err != nil {
		return fmt.Errorf("open metadata snapshots: %w", err)
	}
	d.snapshots = &latchedSnapshots{latch: d.latch, inner: snapshots}
	return nil
}

func (d *directory) close() error {
	var err error
	if d.log != nil {
		err = d.log.Close()
	}
	return errors.Join(err, d.state.Close())
}

// openLog opens the log that is there and checks whose it is.
func (d *directory) openLog(path string) error {
	if d.state.identity.clusterID == "" {
		return fmt.Errorf("%s is there but %s is damaged or missing", logFile, stateFile)
	}
	if err := checkIdentity(d.cfg, d.state.identity); err != nil {
		return err
	}
	log, err := openBolt(path, false)
	if err != nil {
		return err
	}
	d.use(log)
	return nil
}

func (d *directory) use(log *raftboltdb.BoltStore) {
	d.log = log
	d.identity, d.begin = d.state.identity, nil
	d.logs = &latchedLog{latch: d.latch, inner: log}
	d.stable = &latchedStable{latch: d.latch, inner: d.state}
}

func checkIdentity(cfg Config, id identity) error {
	if cfg.ClusterID != "" && id.clusterID != "" && cfg.ClusterID != id.clusterID {
		return fmt.Errorf("it holds the metadata of cluster %s, this node belongs to cluster %s", id.clusterID, cfg.ClusterID)
	}
	if cfg.NodeID != id.nodeID {
		return fmt.Errorf("it holds the metadata of node %d, this node is %d", id.nodeID, cfg.NodeID)
	}
	return nil
}

// prepare is the start of a directory without a log. A node that is alone founds its cluster; any other makes its
// directory id durable, since others will be told of it.
func (d *directory) prepare() error {
	id := d.state.identity
	if id.isZero() {
		id = identity{nodeID: d.cfg.NodeID, directoryID: newDirectoryID()}
	} else if err := checkIdentity(d.cfg, id); err != nil {
		return err
	}
	if id.directoryID == [16]byte{} { // a first start of an older release that was cut off
		id.directoryID = newDirectoryID()
	}
	if d.cfg.Streams == nil {
		clusterID := cmp.Or(id.clusterID, d.cfg.ClusterID, NewClusterID())
		d.state.identity = id
		return d.create(beginning{clusterID: clusterID, founders: []Member{{NodeID: id.nodeID, DirectoryID: id.directoryID}}})
	}
	id.clusterID = "" // that of a beginning that was cut off; who knew it asks again
	d.begin = d.create
	if id != d.state.identity {
		if err := d.state.create(id, 0); err != nil {
			return err
		}
		if err := syncDirectory(d.cfg.Directory); err != nil {
			return err
		}
	}
	d.identity = id
	return nil
}

// create makes the log. Until the rename the directory counts as empty, so a crash at any point before it is followed by
// another first start.
func (d *directory) create(b beginning) error {
	id := d.state.identity
	id.clusterID = b.clusterID
	stated := make(chan error, 1)
	go func() { stated <- d.state.create(id, b.term()) }() // two files, whose fsyncs may share a commit of the file system
	path := filepath.Join(d.cfg.Directory, logFileNew)
	log, err := writeBootstrap(path, b.entries(d.cfg.Bootstrap))
	if stateErr := <-stated; stateErr != nil && err == nil {
		return errors.Join(stateErr, log.Close())
	} else if err != nil {
		return errors.Join(err, stateErr)
	}
	if err := os.Rename(path, filepath.Join(d.cfg.Directory, logFile)); err != nil {
		return errors.Join(err, log.Close())
	}
	if err := syncDirectory(d.cfg.Directory); err != nil {
		return errors.Join(err, log.Close())
	}
	d.use(log)
	return nil
}

// writeBootstrap makes the log's file with the entries that a new cluster begins with, and returns it durable and open.
func writeBootstrap(path string, entries []*hraft.Log) (*raftboltdb.BoltStore, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	unsynced, err := openBolt(path, true)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unsynced.StoreLogs(entries), unsynced.Close()); err != nil {
		return nil, err
	}
	return openBolt(path, false) // its first transaction makes what the unsynced one wrote durable, too
}

func openBolt(path string, noSync bool) (*raftboltdb.BoltStore, error) {
	log, err := raftboltdb.New(raftboltdb.Options{
		Path: path, NoSync: noSync,
		BoltOptions: &bbolt.Options{
			Timeout: time.Millisecond, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, NoGrowSync: false,
		},
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	return log, nil
}

// term is the term of the entries that a log begins with.
func (b beginning) term() uint64 {
	if b.founders == nil {
		return 0
	}
	return bootstrapTerm
}

// entries are what a new cluster's log begins with: who votes, and what the caller wants first.
func (b beginning) entries(bootstrap func(clusterID string) []byte) []*hraft.Log {
	if b.founders == nil {
		return nil
	}
	var voters hraft.Configuration
	for _, m := range b.founders {
		voters.Servers = append(voters.Servers, hraft.Server{ID: m.serverID(), Address: m.serverAddress()})
	}
	return []*hraft.Log{
		{Index: 1, Term: bootstrapTerm, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(voters)},
		{Index: 2, Term: bootstrapTerm, Type: hraft.LogCommand, Data: bootstrap(b.clusterID)},
	}
}

func openMemory(cfg Config) (*stores, error) {
	memory := hraft.NewInmemStore()
	s := &stores{
		identity: identity{nodeID: cfg.NodeID, directoryID: newDirectoryID()},
		logs:     memory, stable: memory, snapshots: hraft.NewInmemSnapshotStore(),
		close: func() error { return nil }, probe: func() error { return nil },
	}
	s.begin = func(b beginning) error {
		s.identity.clusterID, s.begin = b.clusterID, nil
		return errors.Join(memory.SetUint64(keyCurrentTerm, b.term()), memory.StoreLogs(b.entries(cfg.Bootstrap)))
	}
	if cfg.Streams != nil {
		return s, nil
	}
	self := Member{NodeID: cfg.NodeID, DirectoryID: s.identity.directoryID}
	return s, s.begin(beginning{clusterID: cmp.Or(cfg.ClusterID, NewClusterID()), founders: []Member{self}})
}

func newDirectoryID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	return id
}

// NewClusterID returns a random id in Kafka's form, 22 characters of base64url that do not begin with a dash (which a
// command line would take for a flag).
func NewClusterID() string {
	for {
		var id [16]byte
		_, _ = rand.Read(id[:]) // never fails
		if s := base64.RawURLEncoding.EncodeToString(id[:]); s[0] != '-' {
			return s
		}
	}
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
