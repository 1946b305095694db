package peer

import (
	"context"
	"net"
	"sync/atomic"
)

// Streams is a node's way to the others as the metadata quorum wants it, over one inter-broker listener. It also holds the
// node's identity, of which the metadata tells the parts that the node does not know before its directory is read.
type Streams struct {
	mux  *Mux
	cfg  Config
	self *atomic.Pointer[Identity]
}

// NewIdentity returns where a node's identity is kept while its directory and cluster are not known yet: its Load,
// dereferenced, is Config.Identity.
func NewIdentity(nodeID int32) *atomic.Pointer[Identity] {
	self := new(atomic.Pointer[Identity])
	self.Store(&Identity{NodeID: nodeID})
	return self
}

// NewStreams makes the streams over a listener. cfg.Identity must tell what self holds.
func NewStreams(mux *Mux, cfg Config, self *atomic.Pointer[Identity]) *Streams {
	return &Streams{mux: mux, cfg: cfg.withDefaults(), self: self}
}

// Introduce sets this node's directory and, once it is known, its cluster. Others are answered accordingly from here on.
func (s *Streams) Introduce(clusterID string, directoryID [16]byte) {
	s.self.Store(&Identity{ClusterID: clusterID, NodeID: s.self.Load().NodeID, DirectoryID: directoryID})
}

// DialRaft opens a stream of the quorum to exactly this node with this directory.
func (s *Streams) DialRaft(ctx context.Context, nodeID int32, directoryID [16]byte, address string) (net.Conn, error) {
	conn, _, err := DialPurpose(ctx, s.cfg, PurposeRaft, Identity{NodeID: nodeID, DirectoryID: directoryID}, address)
	return conn, err
}

// DialJoin opens a connection for one question to whoever answers at an address.
func (s *Streams) DialJoin(ctx context.Context, address string) (net.Conn, error) {
	conn, _, err := DialPurpose(ctx, s.cfg, PurposeJoin, Identity{NodeID: -1}, address)
	return conn, err
}

// Raft is where streams of the quorum arrive.
func (s *Streams) Raft() net.Listener { return s.mux.Raft() }

// Join is where questions arrive.
func (s *Streams) Join() net.Listener { return s.mux.Join() }

// Gone asks whether the process behind an address has ended.
func (s *Streams) Gone(ctx context.Context, address string) bool { return Alive(ctx, address) }
