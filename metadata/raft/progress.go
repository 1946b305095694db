package raft

import (
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

// progress is what a leader knows of its followers, from their answers: hashicorp/raft knows it, too, but does not tell.
type progress struct {
	mu        sync.Mutex // guards the rest
	term      uint64     // of which the followers are
	followers map[hraft.ServerID]*follower
}

// follower is one follower in the term of progress.
type follower struct {
	header    hraft.RPCHeader // of the leader
	target    hraft.ServerAddress
	match     uint64 // index up to which its log is the leader's
	matchTerm uint64 // of the entry at match
	told      uint64 // index up to which it knows that entries are committed
	telling   bool   // a goroutine is telling it more
	silent    bool   // it did not answer last time, and that was logged
	contact   time.Time
	asked     time.Time // when the newest request was sent that it has answered as a follower of this term
	caughtUp  time.Time // when it last had everything that the leader had
	refused   time.Time // when it last could not store what it was sent
}

func newProgress() *progress { return &progress{followers: map[hraft.ServerID]*follower{}} }

// of returns the follower in a term, nil when that term is over. Called with mu held.
func (p *progress) of(id hraft.ServerID, term uint64) *follower {
	if term < p.term {
		return nil
	}
	if term > p.term {
		p.term, p.followers = term, map[hraft.ServerID]*follower{}
	}
	f := p.followers[id]
	if f == nil {
		f = new(follower)
		p.followers[id] = f
	}
	return f
}

// isHeartbeat tells requests that say nothing of the log.
func isHeartbeat(args *hraft.AppendEntriesRequest) bool {
	return args.PrevLogEntry == 0 && args.PrevLogTerm == 0 && len(args.Entries) == 0 && args.LeaderCommitIndex == 0
}

// answered takes the answer to a request to account that was sent not before a moment; back says that the follower had been
// silent.
func (p *progress) answered(id hraft.ServerID, target hraft.ServerAddress, sent time.Time, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse, last uint64) (back bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.of(id, args.Term)
	if f == nil || resp.Term > args.Term {
		return false
	}
	now := time.Now()
	back, f.silent, f.contact = f.silent, false, now
	f.header, f.target = args.RPCHeader, target
	if sent.After(f.asked) {
		f.asked = sent
	}
	if isNotStored(args, resp) {
		f.refused = now
	}
	if !resp.Success || isHeartbeat(args) {
		return back
	}
	index, term := args.PrevLogEntry, args.PrevLogTerm
	if n := len(args.Entries); n > 0 {
		index, term = args.Entries[n-1].Index, args.Entries[n-1].Term
	}
	if index >= f.match {
		f.match, f.matchTerm = index, term
	}
	f.told = max(f.told, min(args.LeaderCommitIndex, index))
	if f.match >= last {
		f.caughtUp = now
	}
	return back
}

// installed takes a snapshot to account that a follower has installed.
func (p *progress) installed(id hraft.ServerID, args *hraft.InstallSnapshotRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.of(id, args.Term)
	if f == nil {
		return
	}
	f.contact = time.Now()
	if args.LastLogIndex >= f.match {
		f.match, f.matchTerm, f.told = args.LastLogIndex, args.LastLogTerm, args.LastLogIndex
	}
}

// failed says that a follower did not answer; first says that it did before.
func (p *progress) failed(id hraft.ServerID, term uint64) (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.of(id, term)
	if f == nil || f.silent {
		return false
	}
	f.silent = true
	return true
}

// position is what the leader of a term knows of a member.
type position struct {
	match                      uint64
	contact, caughtUp, refused time.Time // zero: not in this term
	asked                      time.Time // as follower.asked
}

func (p *progress) position(id hraft.ServerID, term uint64) position {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.followers[id]
	if f == nil || p.term != term {
		return position{}
	}
	return position{match: f.match, contact: f.contact, caughtUp: f.caughtUp, refused: f.refused, asked: f.asked}
}

// ids returns the followers that have answered in the newest term.
func (p *progress) ids() []hraft.ServerID {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]hraft.ServerID, 0, len(p.followers))
	for id := range p.followers {
		ids = append(ids, id)
	}
	return ids
}

// more returns the request that tells a follower of more committed entries, and marks it as being told; nil when there is
// nothing to tell or somebody does. Only what the follower has acknowledged in this term is called committed: what lies
// behind may be another leader's.
func (p *progress) more(id hraft.ServerID, commit uint64) (hraft.ServerAddress, *hraft.AppendEntriesRequest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.followers[id]
	if f == nil || f.telling || f.silent || min(commit, f.match) <= f.told {
		return "", nil
	}
	f.telling = true
	return f.target, &hraft.AppendEntriesRequest{
		RPCHeader: f.header, Term: p.term,
		PrevLogEntry: f.match, PrevLogTerm: f.matchTerm, LeaderCommitIndex: min(commit, f.match),
	}
}

// toldAll says that the telling has ended.
func (p *progress) toldAll(id hraft.ServerID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.followers[id]; f != nil {
		f.telling = false
	}
}
