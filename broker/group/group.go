package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// group is one consumer group, or whatever else speaks the classic protocol.
type group struct {
	key groupKey

	// In the log: changes in Replay only.
	stored  *storedGroup // nil: nothing about members was ever written
	offsets map[string]map[int32]committedOffset
	pending map[int64]map[topicPartition]committedOffset // of open transactions, by producer id

	consumer *consumerGroup // of the consumer protocol; nil: classic. What follows is of classic groups
	share    *shareGroup    // a share group; nil: none
	streams  *streamsGroup  // a streams group; nil: none
	next     *consumerGroup // what it becomes when the records of a step are replayed
	news     *news          // for classic members whose heartbeats are held back

	// Not in the log: who is here now. After a load it is what stored says.
	state              state
	previous           state
	stateChangedMillis int64
	generation         int32
	protocolType       *string // nil: a "simple" group, which only stores offsets
	protocol           *string // of the generation
	leader             *string
	members            []*member          // in the order of joining; the leader's successor is the first
	byID               map[string]*member // the same
	static             map[string]string  // instance id -> member id
	pendingJoin        map[string]*timer  // member ids that were handed out and have not come back
	pendingSync        map[string]bool    // members of the generation that have not sent SyncGroup
	awaitingJoin       int                // members whose JoinGroup waits
	newMemberAt        time.Time          // when the last one came during the initial delay
	topics             map[string]bool    // what the members subscribe to
	topicsKnown        bool               // topics counts: a consumer group whose subscriptions could be read
	joinTimer          *timer
	syncTimer          *timer
	unwritten          bool // its last assignment could not be written, which is told once: members come again at once
}

// member of a group.
type member struct {
	id                     string
	instanceID             *string
	clientID, clientHost   string
	rebalanceTimeoutMillis int32
	sessionTimeoutMillis   int32
	protocols              []kmsg.JoinGroupRequestProtocol
	assignment             []byte
	join, sync             coordinator.Ticket // who waits; 0: nobody
	isNew                  bool               // its first JoinGroup waits: it does not know its id yet
	steady                 bool               // as Caller.Steady
	session                *timer
	holding                *timer    // while its SyncGroup is held back (holdSync)
	heldUntil              time.Time // of the generation: its SyncGroup is answered then, or by the next rebalance (setHolds)
	gives                  bool      // of the generation: it has something to give up, and joins again by itself (setHolds)
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// matches reports whether the member would join with what it has.
func (m *member) matches(protocols []kmsg.JoinGroupRequestProtocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b kmsg.JoinGroupRequestProtocol) bool {
		return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
	})
}

func (g *group) isLeader(memberID string) bool { return g.leader != nil && *g.leader == memberID }

func (g *group) leaderID() string {
	if g.leader == nil {
		return ""
	}
	return *g.leader
}

func (g *group) isConsumer() bool {
	return g.protocolType != nil && *g.protocolType == consumerProtocolType
}

// isClassic reports that the group speaks the classic protocol, or none.
func (g *group) isClassic() bool { return g.consumer == nil && g.share == nil && g.streams == nil }

// isGone reports that nothing is left that anybody could ask for.
func (g *group) isGone() bool {
	return g.stored == nil && len(g.pending) == 0 && g.isClassic() && len(g.offsets) == 0 && g.state == empty && len(g.members) == 0 && len(g.pendingJoin) == 0
}

func (g *group) hasAllJoined() bool {
	return len(g.members) == g.awaitingJoin && len(g.pendingJoin) == 0
}

func (g *group) canRebalance() bool { return g.state != preparingRebalance }

// add puts a member into the group, waiting for its join to end.
func (g *group) add(m *member, protocolType string) {
	if len(g.members) == 0 {
		g.protocolType = &protocolType
	}
	if m.instanceID != nil {
		g.static[*m.instanceID] = m.id
	}
	if g.leader == nil {
		g.leader = &m.id
	}
	g.members = append(g.members, m)
	g.byID[m.id] = m
	if m.join != 0 {
		g.awaitingJoin++
	}
}

// remove takes a member out; its timers are the caller's to cancel.
func (g *group) remove(memberID string) {
	if m := g.byID[memberID]; m != nil {
		delete(g.byID, memberID)
		g.members = slices.DeleteFunc(g.members, func(x *member) bool { return x == m })
		if m.join != 0 {
			g.awaitingJoin--
		}
		if m.instanceID != nil && g.static[*m.instanceID] == memberID {
			delete(g.static, *m.instanceID)
		}
	}
	if g.isLeader(memberID) {
		g.leader = nil
		if len(g.members) > 0 {
			g.leader = &g.members[0].id
		}
	}
	delete(g.pendingSync, memberID)
}

// electJoinedLeader gives the lead to a member that joined, if the leader did not. It reports whether there is one.
func (g *group) electJoinedLeader() bool {
	if g.leader == nil {
		return false
	}
	if g.byID[*g.leader].join != 0 {
		return true
	}
	for _, m := range g.members {
		if m.join != 0 {
			g.leader = &m.id
			return true
		}
	}
	return false
}

// rebalanceTimeout is the longest of the members'.
func (g *group) rebalanceTimeout() time.Duration {
	var longest int32
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeoutMillis)
	}
	return time.Duration(longest) * time.Millisecond
}

// validate checks that a request comes from a member, and not from one that another has replaced.
func (g *group) validate(memberID string, instanceID *string) *kerr.Error {
	if instanceID != nil {
		existing, ok := g.static[*instanceID]
		switch {
		case !ok:
			return kerr.UnknownMemberID
		case existing != memberID:
			return kerr.FencedInstanceID
		}
	}
	if g.byID[memberID] == nil {
		return kerr.UnknownMemberID
	}
	return nil
}

// supports reports whether a member with these protocols can be in the group: one of them is every member's.
func (g *group) supports(protocolType string, protocols []kmsg.JoinGroupRequestProtocol) bool {
	if g.state == empty {
		return protocolType != "" && len(protocols) > 0
	}
	if g.protocolType == nil || *g.protocolType != protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return g.isCandidate(p.Name) })
}

// isCandidate reports whether every member speaks the protocol.
func (g *group) isCandidate(protocol string) bool {
	for _, m := range g.members {
		if !slices.ContainsFunc(m.protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return p.Name == protocol }) {
			return false
		}
	}
	return true
}

// selectProtocol lets each member vote for the first of its protocols that all share; the most votes win, and of equals
// the one that was voted for first. It is nil when the members share none.
func (g *group) selectProtocol() *string {
	votes := make(map[string]int)
	var order []string
	candidates := make(map[string]bool)
	for _, p := range g.members[0].protocols {
		candidates[p.Name] = g.isCandidate(p.Name)
	}
	for _, m := range g.members {
		for _, p := range m.protocols {
			if candidates[p.Name] {
				if votes[p.Name] == 0 {
					order = append(order, p.Name)
				}
				votes[p.Name]++
				break
			}
		}
	}
	var chosen *string
	for i := range order {
		if chosen == nil || votes[order[i]] > votes[*chosen] {
			chosen = &order[i]
		}
	}
	return chosen
}

// learnTopics reads what the members of a consumer group subscribe to.
func (g *group) learnTopics() {
	g.topics, g.topicsKnown = nil, false
	if !g.isConsumer() {
		return
	}
	if len(g.members) == 0 {
		g.topicsKnown = true
		return
	}
	if g.protocol == nil {
		return
	}
	topics := make(map[string]bool)
	for _, m := range g.members {
		subscribed, err := subscribedTopics(m.metadata(*g.protocol))
		if err != nil {
			return
		}
		for _, topic := range subscribed {
			topics[topic] = true
		}
	}
	g.topics, g.topicsKnown = topics, true
}

// isSubscribedTo errs on the side of yes for consumers whose subscriptions could not be read.
func (g *group) isSubscribedTo(topic string) bool {
	if g.consumer != nil {
		return g.consumer.isSubscribedTo(topic)
	}
	if g.streams != nil {
		return g.streams.isSubscribedTo(topic)
	}
	if !g.topicsKnown {
		return g.isConsumer()
	}
	return g.topics[topic]
}

// snapshot is the group as it goes to the log, with the assignment of each member.
func (g *group) snapshot(assignment func(*member) []byte) *storedGroup {
	s := &storedGroup{generation: g.generation, protocol: g.protocol, leader: g.leader, stateChangedMillis: g.stateChangedMillis}
	if g.protocolType != nil {
		s.protocolType = *g.protocolType
	}
	for _, m := range g.members {
		stored := storedMember{
			id: m.id, instanceID: m.instanceID, clientID: m.clientID, clientHost: m.clientHost,
			rebalanceTimeoutMillis: m.rebalanceTimeoutMillis, sessionTimeoutMillis: m.sessionTimeoutMillis,
			assignment: assignment(m),
		}
		if g.protocol != nil {
			stored.subscription = m.metadata(*g.protocol)
		}
		s.members = append(s.members, stored)
	}
	return s
}
