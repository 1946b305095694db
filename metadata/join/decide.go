package join

import (
	"fmt"
	"slices"
	"strings"
)

// Voter is one of the initial voters that a node was configured with.
type Voter struct {
	NodeID  int32
	Address string
}

// Step is what a node does next that has no log.
type Step struct {
	Found   []Member // begin a new cluster with these voters
	Belong  string   // the cluster: it has this node as a member already, or has admitted it now
	AdmitAt string   // ask at this address to be admitted
	Wait    string   // ask again; for this reason
}

// Decide says what follows from what others answered; answers are by the address that was asked, and those of this node's
// own address do not count.
func Decide(self Party, initial []Voter, answers map[string]Answer) Step {
	if known, ok := newestKnown(answers); ok {
		return belong(self, known)
	}
	if len(initial) == 0 {
		return Step{Wait: "no member of a cluster answers at the addresses of cluster.join"}
	}
	return found(self, initial, answers)
}

// newestKnown picks the answer that knows most of a cluster: who knows a leader, then who has the longest log.
func newestKnown(answers map[string]Answer) (best Answer, ok bool) {
	better := func(a, b Answer) bool {
		if _, leads := a.Leader(); leads != hasLeader(b) {
			return leads
		}
		return compare(a.Position, b.Position) > 0
	}
	for _, address := range sorted(answers) {
		if a := answers[address]; a.From.ClusterID != "" && (!ok || better(a, best)) {
			best, ok = a, true
		}
	}
	return best, ok
}

func hasLeader(a Answer) bool {
	_, ok := a.Leader()
	return ok
}

func sorted(answers map[string]Answer) []string {
	addresses := make([]string, 0, len(answers))
	for address := range answers {
		addresses = append(addresses, address)
	}
	slices.Sort(addresses)
	return addresses
}

func compare(a, b Position) int {
	switch {
	case a.LastTerm != b.LastTerm:
		return sign(a.LastTerm > b.LastTerm)
	case a.LastIndex != b.LastIndex:
		return sign(a.LastIndex > b.LastIndex)
	}
	return 0
}

func sign(more bool) int {
	if more {
		return 1
	}
	return -1
}

func belong(self Party, known Answer) Step {
	for _, m := range known.Members {
		if m.NodeID == self.NodeID && m.DirectoryID == self.DirectoryID {
			return Step{Belong: known.From.ClusterID}
		}
	}
	leader, ok := known.Leader()
	if !ok {
		return Step{Wait: fmt.Sprintf("cluster %s has no controller that could admit this node", known.From.ClusterID)}
	}
	return Step{AdmitAt: leader.Address}
}

// found lets the lowest of the initial voters found the cluster once all of them have answered, and know none.
func found(self Party, initial []Voter, answers map[string]Answer) Step {
	lowest := slices.MinFunc(initial, func(a, b Voter) int { return int(a.NodeID) - int(b.NodeID) })
	if !slices.ContainsFunc(initial, func(v Voter) bool { return v.NodeID == self.NodeID }) {
		return Step{Wait: "no initial voter knows a cluster yet, and this node is not one of them"}
	}
	voters, missing := []Member{}, []string{}
	for _, v := range initial {
		party := self
		if v.NodeID != self.NodeID {
			a, ok := answers[v.Address]
			if !ok {
				missing = append(missing, fmt.Sprintf("%d@%s", v.NodeID, v.Address))
				continue
			}
			if party = a.From; party.NodeID != v.NodeID {
				return Step{Wait: fmt.Sprintf("%s is node %d, where initial_voters has node %d", v.Address, party.NodeID, v.NodeID)}
			}
		}
		party.Address, party.ClusterID = v.Address, ""
		voters = append(voters, Member{Party: party, Voter: true})
	}
	switch {
	case len(missing) > 0:
		return Step{Wait: "initial voters have not answered: " + strings.Join(missing, ", ")}
	case lowest.NodeID != self.NodeID:
		return Step{Wait: fmt.Sprintf("node %d, the lowest of the initial voters, is to found the cluster", lowest.NodeID)}
	}
	return Step{Found: voters}
}

// Stands says whether a voter that knows no leader should stand for election now: a majority of the voters is there,
// nobody of them follows a leader, and none that stands has more of the log; of several equals the lowest does.
func Stands(self Party, position Position, voters []Member, answers map[string]Answer) bool {
	if !slices.ContainsFunc(voters, func(m Member) bool { return same(m.Party, self) }) {
		return false
	}
	running := 1
	for _, a := range answers {
		if !a.Position.Runs || same(a.From, self) || !slices.ContainsFunc(voters, func(m Member) bool { return same(m.Party, a.From) }) {
			continue
		}
		if a.LeaderID >= 0 && !denies(a.LeaderID, self.NodeID, answers) {
			return false
		}
		if c := compare(a.Position, position); !a.Barred && (c > 0 || c == 0 && a.From.NodeID < self.NodeID) {
			return false
		}
		running++
	}
	return running > len(voters)/2
}

// denies says that a node that another takes for the leader says itself that it is not: it has started anew. Who asks is
// not the leader, or would not ask.
func denies(leader, self int32, answers map[string]Answer) bool {
	for _, a := range answers {
		if a.From.NodeID == leader && a.LeaderID != leader {
			return true
		}
	}
	return leader == self
}

func same(a, b Party) bool { return a.NodeID == b.NodeID && a.DirectoryID == b.DirectoryID }

// Leader is a leader that is known by somebody, with what it knows of the members.
type Leader struct {
	Address string
	members []Member
}

// Knows says whether the cluster has a node as a member, by the address that it has now.
func (l Leader) Knows(p Party) bool { return Knows(l.members, p) }

// Knows says whether a node is among the members, by the address that it has now.
func Knows(members []Member, p Party) bool {
	return slices.ContainsFunc(members, func(m Member) bool { return same(m.Party, p) && m.Address == p.Address })
}

// FindLeader returns the leader that a node or one of those that answered knows, unless that one says that it leads no more.
// What it knows of the members is the leader's own word if it has answered.
func FindLeader(self Party, known int32, answers map[string]Answer) (Leader, bool) {
	for _, address := range sorted(answers) {
		a := answers[address]
		if a.From.NodeID == a.LeaderID {
			return Leader{Address: address, members: a.Members}, true
		}
	}
	for _, address := range sorted(answers) {
		a := answers[address]
		m, ok := a.Leader()
		if ok && !denies(m.NodeID, self.NodeID, answers) {
			return Leader{Address: m.Address, members: append(a.Members, Member{Party: self})}, true // it is asked next time
		}
	}
	if known >= 0 && !denies(known, self.NodeID, answers) {
		return Leader{members: []Member{{Party: self}}}, true
	}
	return Leader{}, false
}
