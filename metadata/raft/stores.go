package raft

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	clusterID string
	logs      hraft.LogStore
	stable    hraft.StableStore
	snapshots hraft.SnapshotStore
	close     func() error
}

// openStores opens the directory, or makes it when nothing is there.
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
	log, err := openLog(cfg, state)
	if err != nil {
		return nil, fmt.Errorf("open metadata directory %s: %w", cfg.Directory, errors.Join(err, state.Close()))
	}
	closeAll := func() error { return errors.Join(log.Close(), state.Close()) }
	snapshots, err := hraft.NewFileSnapshotStoreWithLogger(cfg.Directory, snapshotsKept, logger)
	if err != nil {
		return nil, fmt.Errorf("open metadata snapshots: %w", errors.Join(err, closeAll()))
	}
	return &stores{
		clusterID: state.identity.clusterID,
		logs:      &latchedLog{latch: latch, inner: log}, stable: &latchedStable{latch: latch, inner: state},
		snapshots: &latchedSnapshots{latch: latch, inner: snapshots}, close: closeAll,
	}, nil
}

// openLog opens the log that is there, checks whose it is, or makes a new one.
func openLog(cfg Config, state *stateFileStore) (*raftboltdb.BoltStore, error) {
	path := filepath.Join(cfg.Directory, logFile)
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createLog(cfg, state)
	}
	if err != nil {
		return nil, err
	}
	if state.identity.clusterID == "" {
		return nil, fmt.Errorf("%s is there but %s is damaged or missing", logFile, stateFile)
	}
	if err := checkIdentity(cfg, state.identity); err != nil {
		return nil, err
	}
	return openBolt(path, false)
}

func checkIdentity(cfg Config, id identity) error {
	if cfg.ClusterID != "" && cfg.ClusterID != id.clusterID {
		return fmt.Errorf("it holds the metadata of cluster %s, this node belongs to cluster %s", id.clusterID, cfg.ClusterID)
	}
	if cfg.NodeID != id.nodeID {
		return fmt.Errorf("it holds the metadata of node %d, this node is %d", id.nodeID, cfg.NodeID)
	}
	return nil
}

// createLog makes the log of a new cluster with one voter. Until the rename the directory counts as empty, so a crash at
// any point before it is followed by another first start.
func createLog(cfg Config, state *stateFileStore) (*raftboltdb.BoltStore, error) {
	id := state.identity
	if id.clusterID == "" {
		id = identity{nodeID: cfg.NodeID, clusterID: cfg.ClusterID}
		if id.clusterID == "" {
			id.clusterID = NewClusterID()
		}
	} else if err := checkIdentity(cfg, id); err != nil {
		return nil, err
	}
	stated := make(chan error, 1)
	go func() { stated <- state.create(id) }() // two files, whose fsyncs may share a commit of the file system
	path := filepath.Join(cfg.Directory, logFileNew)
	log, err := writeBootstrap(path, cfg, id.clusterID)
	if stateErr := <-stated; stateErr != nil && err == nil {
		return nil, errors.Join(stateErr, log.Close())
	} else if err != nil {
		return nil, errors.Join(err, stateErr)
	}
	if err := os.Rename(path, filepath.Join(cfg.Directory, logFile)); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := syncDirectory(cfg.Directory); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// writeBootstrap makes the log's file with the entries that a new cluster begins with, and returns it durable and open.
func writeBootstrap(path string, cfg Config, clusterID string) (*raftboltdb.BoltStore, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	unsynced, err := openBolt(path, true)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(unsynced.StoreLogs(bootstrapEntries(cfg, clusterID)), unsynced.Close()); err != nil {
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

// bootstrapEntries are the entries that a new cluster's log begins with: who votes, and what the caller wants first.
func bootstrapEntries(cfg Config, clusterID string) []*hraft.Log {
	voters := hraft.Configuration{Servers: []hraft.Server{{ID: serverID(cfg.NodeID), Address: serverAddress(cfg.NodeID)}}}
	return []*hraft.Log{
		{Index: 1, Term: bootstrapTerm, Type: hraft.LogConfiguration, Data: hraft.EncodeConfiguration(voters)},
		{Index: 2, Term: bootstrapTerm, Type: hraft.LogCommand, Data: cfg.Bootstrap(clusterID)},
	}
}

func openMemory(cfg Config) (*stores, error) {
	clusterID := cfg.ClusterID
	if clusterID == "" {
		clusterID = NewClusterID()
	}
	memory := hraft.NewInmemStore()
	if err := memory.SetUint64(keyCurrentTerm, bootstrapTerm); err != nil {
		return nil, err
	}
	if err := memory.StoreLogs(bootstrapEntries(cfg, clusterID)); err != nil {
		return nil, err
	}
	return &stores{
		clusterID: clusterID, logs: memory, stable: memory, snapshots: hraft.NewInmemSnapshotStore(),
		close: func() error { return nil },
	}, nil
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

func serverID(nodeID int32) hraft.ServerID { return hraft.ServerID(strconv.Itoa(int(nodeID))) }

func serverAddress(nodeID int32) hraft.ServerAddress {
	return hraft.ServerAddress(strconv.Itoa(int(nodeID)))
}

func nodeID(id hraft.ServerID) int32 {
	n, err := strconv.ParseInt(string(id), 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}
