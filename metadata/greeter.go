package metadata

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/join"
	"github.com/millrace-io/millrace/metadata/raft"
)

// maxQuestions bounds the questions that are being answered; those above are closed.
const maxQuestions = 32

// greeter answers the questions of other nodes: of those that are joining, and of members that have just started.
type greeter struct {
	quorum  *raft.Quorum
	streams Streams
	heard   chan struct{} // a token when a node has asked
	voters  chan struct{} // a token when a member that takes part in elections has asked
	slots   chan struct{}
	serving sync.WaitGroup

	mu      sync.Mutex // guards the rest
	self    join.Party
	members []join.Member // of a cluster that this node has just founded
	runs    bool          // the quorum was started: it knows the members
	conns   map[net.Conn]struct{}
	closed  bool
}

func newGreeter(quorum *raft.Quorum, streams Streams) *greeter {
	m := quorum.Self()
	return &greeter{
		quorum: quorum, streams: streams, heard: make(chan struct{}, 1), voters: make(chan struct{}, 1), slots: make(chan struct{}, maxQuestions),
		self:  join.Party{NodeID: m.NodeID, DirectoryID: m.DirectoryID, ClusterID: quorum.ClusterID(), Address: m.Address},
		conns: map[net.Conn]struct{}{},
	}
}

// belongs says that this node has a log, and as a founder whose it is.
func (g *greeter) belongs(clusterID string, members []join.Member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.self.ClusterID, g.members = clusterID, members
}

// started says that the quorum runs.
func (g *greeter) started() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.runs = true
}

// serve runs until close.
func (g *greeter) serve() {
	for {
		conn, err := g.streams.Join().Accept()
		if err != nil {
			return
		}
		if !g.admit(conn) {
			_ = conn.Close()
		}
	}
}

// admit answers on a goroutine of its own; false: there are too many questions, or the node is closed.
func (g *greeter) admit(conn net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	select {
	case g.slots <- struct{}{}:
	default:
		return false
	}
	g.conns[conn] = struct{}{}
	g.serving.Go(func() {
		g.one(conn)
		g.mu.Lock()
		delete(g.conns, conn)
		g.mu.Unlock()
		_ = conn.Close()
		<-g.slots
	})
	return true
}

func (g *greeter) one(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(admitTimeout))
	q, err := join.ReadQuestion(conn)
	if err != nil {
		return
	}
	signal(g.heard)
	g.quorum.Reached()
	a := g.answer(q)
	_, _ = conn.Write(join.AppendAnswer(nil, a)) // who asked asks again
	if q.Position.Runs {
		signal(g.voters)
	}
}

func (g *greeter) answer(q join.Question) join.Answer {
	g.mu.Lock()
	a := join.Answer{From: g.self, LeaderID: -1, Members: g.members}
	runs := g.runs
	g.mu.Unlock()
	if !runs {
		if q.Kind == join.Admit {
			a.Outcome = join.NotLeader
		}
		return a
	}
	if q.Kind == join.Admit {
		a.Outcome, a.Reason = g.outcome(q.From)
	}
	state := g.quorum.State()
	a.LeaderID, a.Members, a.Position, a.Barred = state.LeaderID, membersOf(state), positionOf(g.quorum), g.quorum.Barred()
	return a
}

func (g *greeter) outcome(p join.Party) (join.Outcome, string) {
	err := g.quorum.Admit(raft.Member{NodeID: p.NodeID, DirectoryID: p.DirectoryID, Address: p.Address})
	switch {
	case err == nil:
		return join.Admitted, ""
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrOutcomeUnknown):
		return join.NotLeader, ""
	}
	return join.Refused, err.Error()
}

func membersOf(s raft.State) []join.Member {
	var list []join.Member
	for i, group := range [][]raft.MemberState{s.Voters, s.Observers} {
		for _, m := range group {
			list = append(list, join.Member{Voter: i == 0, Party: join.Party{NodeID: m.NodeID, DirectoryID: m.DirectoryID, Address: m.Address}})
		}
	}
	return list
}

func positionOf(q *raft.Quorum) join.Position {
	p := q.Position()
	return join.Position{Runs: true, LastTerm: p.LastTerm, LastIndex: p.LastIndex}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// close ends serve and the questions being answered.
func (g *greeter) close() {
	_ = g.streams.Join().Close()
	g.mu.Lock()
	g.closed = true
	for conn := range g.conns {
		_ = conn.Close()
	}
	g.mu.Unlock()
	g.serving.Wait()
}
