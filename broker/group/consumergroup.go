package group

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// consumerGroup is what a group of the consumer protocol (KIP-848) has beside its offsets. All of it but the timers is in
// the log and changes in Replay only.
//
//	Empty --first member--> Assigning --target--> Reconciling --everybody is there--> Stable
//	  ^                         ^                     |                                 |
//	  +--nobody is left         +--a member comes or goes, a subscription or a topic changes
//
// The group's epoch rises with everything that calls for another assignment; the assignment's epoch says for which it
// was made; each member's epoch says how far it has followed.
type consumerGroup struct {
	epoch            int32
	metadataHash     uint64
	creationMillis   int64 // -1: not known (KIP-1282)
	assignmentEpoch  int32
	assignmentMillis int64 // when the target was made (KIP-1263)
	members          map[string]*consumerMember
	static           map[string]string // instance id -> member id
	target           map[string]assignor.Partitions
	owners           map[TopicID]map[int32]string // who holds a partition, or has yet to give it up
	regexes          map[string]*resolvedRegex
	oldMetadata      bool // the log has a record of subscribed topics as Kafka 4.0 wrote it

	// Derived from the above.
	subscribers  map[string]int // members by topic name, regular expressions apart
	matchers     map[string]int // members by regular expression
	reconciled   int            // members that have reached the target
	classicCount int            // members of the classic protocol

	// Not in the log.
	soft      map[string]*memberTimers
	news      *news
	looking   *timer                             // looks whether topics changed
	assigning *timer                             // makes the target when the pause between two assignments is over
	allowed   map[string]func(topic string) bool // by regular expression: what its last heartbeat's sender may see
}

// memberTimers are a member's deadlines.
type memberTimers struct {
	session   *timer
	rebalance *timer // to give up partitions
	join      *timer // a member of the classic protocol has to join again
	sync      *timer // a member of the classic protocol has to sync
}

// memberState says what a member of a consumer group does, by Kafka's number in the log.
type memberState int8

const (
	memberStable     memberState = 1 // it has what it is to have
	memberUnrevoked  memberState = 2 // it has to give up partitions first
	memberUnreleased memberState = 3 // it waits for partitions that others have to give up
)

// consumerMember is immutable: a record makes another one.
type consumerMember struct {
	id                     string
	instanceID             *string
	rackID                 *string
	clientID, clientHost   string
	topics                 []string // sorted
	regex                  string
	rebalanceTimeoutMillis int32
	assignorName           *string
	classic                *classicMetadata // nil: it speaks the consumer protocol

	epoch, previousEpoch int32
	state                memberState
	assigned             held
	revoking             held
}

// classicMetadata is of a member that speaks the classic protocol in a consumer group.
type classicMetadata struct {
	sessionTimeoutMillis int32
	protocols            []kmsg.JoinGroupRequestProtocol
}

// held is the partitions that a member has, each with the epoch of its assignment (KIP-1251).
type held map[TopicID]map[int32]int32

func (h held) has(id TopicID, partition int32) bool {
	_, ok := h[id][partition]
	return ok
}

func (h held) equal(other held) bool {
	return maps.EqualFunc(h, other, func(a, b map[int32]int32) bool { return maps.Equal(a, b) })
}

// partitions are the same without epochs, sorted.
func (h held) partitions() assignor.Partitions {
	p := make(assignor.Partitions, len(h))
	for id, epochs := range h {
		p[id] = slices.Sorted(maps.Keys(epochs))
	}
	return p
}

// leftStatic is the epoch of a static member that left and may come back under another id.
const (
	leaving    = -1
	leftStatic = -2
)

func newConsumerGroup() *consumerGroup {
	return &consumerGroup{
		creationMillis: -1,
		members:        make(map[string]*consumerMember), static: make(map[string]string),
		target: make(map[string]assignor.Partitions), owners: make(map[TopicID]map[int32]string),
		regexes: make(map[string]*resolvedRegex), subscribers: make(map[string]int), matchers: make(map[string]int),
		soft: make(map[string]*memberTimers), news: &news{}, assigning: newTimer(nil), looking: newTimer(nil), allowed: make(map[string]func(string) bool),
	}
}

// isReconciled reports whether the member has reached the target of that epoch.
func (m *consumerMember) isReconciled(epoch int32) bool {
	return m.state == memberStable && m.epoch == epoch
}

// state is what clients are told.
func (c *consumerGroup) state() consumerState {
	switch {
	case len(c.members) == 0:
		return consumerEmpty
	case c.epoch > c.assignmentEpoch:
		return assigning
	case c.reconciled < len(c.members):
		return reconciling
	}
	return consumerStable
}

type consumerState int8

const (
	consumerEmpty consumerState = iota
	assigning
	reconciling
	consumerStable
	consumerStateCount
)

func (s consumerState) String() string {
	switch s {
	case consumerEmpty:
		return "Empty"
	case assigning:
		return "Assigning"
	case reconciling:
		return "Reconciling"
	default:
		return "Stable"
	}
}

// setMember puts a member in the place of the one of its id, or takes it out; everything derived follows.
func (c *consumerGroup) setMember(id string, m *consumerMember) {
	if before := c.members[id]; before != nil {
		c.count(before, -1)
		delete(c.members, id)
		if before.instanceID != nil && c.static[*before.instanceID] == id {
			delete(c.static, *before.instanceID)
		}
		c.own(before.assigned, id, false)
		c.own(before.revoking, id, false)
	}
	if m == nil {
		return
	}
	c.members[id] = m
	c.count(m, 1)
	if m.instanceID != nil {
		c.static[*m.instanceID] = id
	}
	c.own(m.assigned, id, true)
	c.own(m.revoking, id, true)
}

func (c *consumerGroup) count(m *consumerMember, by int) {
	for _, topic := range m.topics {
		add(c.subscribers, topic, by)
	}
	if m.regex != "" {
		add(c.matchers, m.regex, by)
	}
	if m.isReconciled(c.assignmentEpoch) {
		c.reconciled += by
	}
	if m.classic != nil {
		c.classicCount += by
	}
}

func add(counts map[string]int, key string, by int) {
	if counts[key] += by; counts[key] == 0 {
		delete(counts, key)
	}
}

func (c *consumerGroup) own(h held, id string, has bool) {
	for topic, partitions := range h {
		owners := c.owners[topic]
		if owners == nil {
			owners = make(map[int32]string, len(partitions))
			c.owners[topic] = owners
		}
		for p := range partitions {
			if has {
				owners[p] = id
			} else if owners[p] == id {
				delete(owners, p)
			}
		}
		if len(owners) == 0 {
			delete(c.owners, topic)
		}
	}
}

// setAssignment takes over the epoch of a target.
func (c *consumerGroup) setAssignment(epoch int32, millis int64) {
	c.assignmentEpoch, c.assignmentMillis = epoch, millis
	c.reconciled = 0
	for _, m := range c.members {
		if m.isReconciled(epoch) {
			c.reconciled++
		}
	}
}

func (c *consumerGroup) isSubscribedTo(topic string) bool {
	if c.subscribers[topic] > 0 {
		return true
	}
	for regex := range c.matchers {
		if r := c.regexes[regex]; r != nil && r.matches(topic) {
			return true
		}
	}
	return false
}

// topicsOf are the topics that a member subscribes to by name or by regular expression, sorted.
func (c *consumerGroup) topicsOf(m *consumerMember) []string {
	r := c.regexes[m.regex]
	if m.regex == "" || r == nil || len(r.topics) == 0 {
		return m.topics
	}
	if len(m.topics) == 0 {
		return r.topics
	}
	all := append(slices.Clone(m.topics), r.topics...)
	slices.Sort(all)
	return slices.Compact(all)
}

// timersOf are a member's deadlines; they are made when they are first needed.
func (c *consumerGroup) timersOf(id string) *memberTimers {
	t := c.soft[id]
	if t == nil {
		t = &memberTimers{session: newTimer(nil), rebalance: newTimer(nil), join: newTimer(nil), sync: newTimer(nil)}
		c.soft[id] = t
	}
	return t
}
