package group

import (
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// downgraded ends the write that made a consumer group classic: its members have to join again.
type downgraded struct{ key groupKey }

func (s *shard) allowsUpgrade() bool { return allowsMigration(s.settings().MigrationPolicy, "upgrade") }
func (s *shard) allowsDowngrade() bool {
	return allowsMigration(s.settings().MigrationPolicy, "downgrade")
}

func allowsMigration(policy, way string) bool {
	return strings.EqualFold(policy, "bidirectional") || strings.EqualFold(policy, way)
}

// upgrade makes a group one of the consumer protocol: one that holds offsets only, one that is empty, or one of classic
// consumers, who go on in it by their own protocol. Its records go before those of the step; the group changes when they
// are replayed, and until then next holds what it will be.
func (s *shard) upgrade(g *group, do *effects) (*group, *consumerGroup, *refusal) {
	c := newConsumerGroup()
	if len(g.members) == 0 && len(g.pendingJoin) == 0 {
		if g.stored != nil || g.state != empty {
			do.write(groupTombstone(g.key))
		}
		g.next = c
		return g, c, nil
	}
	notOne := refused(kerr.GroupIDNotFound, "Group %s is not a consumer group.", g.key.id)
	switch {
	case !s.allowsUpgrade():
		do.note("group stays classic: its migration is not allowed", g)
		return nil, nil, notOne
	case !g.isConsumer(), len(g.members) > int(s.settings().ConsumerMaxSize):
		return nil, nil, notOne
	}
	if !s.convertMembers(g, c) {
		return nil, nil, refused(kerr.GroupIDNotFound, "Cannot upgrade the classic group %s to consumer group because the embedded consumer protocol is malformed.", g.key.id)
	}
	do.note("classic group becomes a consumer group", g, "members", len(g.members))
	for _, m := range g.members {
		s.answerJoin(g, m, joinError(m.id, kerr.RebalanceInProgress), do)
		s.answerSync(m, syncError(kerr.RebalanceInProgress), do)
	}
	g.next = c
	do.write(groupTombstone(g.key))
	do.write(upgradeRecords(g.key, c)...)
	return g, c, nil
}

// convertMembers makes members of the consumer group out of classic ones, with the assignment of their last generation.
func (s *shard) convertMembers(g *group, c *consumerGroup) bool {
	c.epoch = g.generation
	c.setAssignment(g.generation, 0)
	for _, old := range g.members {
		protocol := ""
		if g.protocol != nil {
			protocol = *g.protocol
		} else if len(old.protocols) > 0 {
			protocol = old.protocols[0].Name
		}
		subscription, err := readSubscription(old.metadata(protocol))
		if err != nil {
			return false
		}
		assigned := s.heldOf(g.key.tenant, old.assignment, g.generation)
		c.target[old.id] = assigned.partitions()
		c.setMember(old.id, &consumerMember{
			id: old.id, instanceID: old.instanceID, rackID: rackOf(subscription), clientID: old.clientID, clientHost: old.clientHost,
			topics: uniqueSorted(subscription.Topics), rebalanceTimeoutMillis: old.rebalanceTimeoutMillis,
			classic: &classicMetadata{sessionTimeoutMillis: old.sessionTimeoutMillis, protocols: old.protocols},
			epoch:   g.generation, previousEpoch: g.generation, state: memberStable, assigned: assigned,
		})
		s.startConsumerSession(g.key, c, c.members[old.id], s.now)
	}
	return true
}

func uniqueSorted(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}

// heldOf reads an assignment of the classic protocol. One that cannot be read, or names topics that are gone, is less.
func (s *shard) heldOf(tenant string, assignment []byte, epoch int32) held {
	h := make(held)
	if len(assignment) == 0 {
		return h
	}
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(assignment); err != nil {
		return h
	}
	for _, t := range a.Topics {
		topic, ok := s.topics().Topic(tenant, t.Topic)
		if !ok {
			continue
		}
		for _, p := range t.Partitions {
			h.put(topic.ID, p, epoch)
		}
	}
	return h
}

func readSubscription(metadata []byte) (*kmsg.ConsumerMemberMetadata, error) {
	m := kmsg.NewConsumerMemberMetadata()
	if err := m.ReadFrom(metadata); err != nil {
		return nil, err
	}
	return &m, nil
}

func rackOf(m *kmsg.ConsumerMemberMetadata) *string {
	if m.Rack == nil || *m.Rack == "" {
		return nil
	}
	return m.Rack
}

// upgradeRecords are a whole consumer group, in Kafka's order.
func upgradeRecords(key groupKey, c *consumerGroup) []coordinator.Record {
	var records []coordinator.Record
	members := sortedMembers(c)
	for _, id := range members {
		records = append(records, consumerMemberRecord(key, c.members[id]))
	}
	records = append(records, consumerEpochRecord(key, c.epoch, c.metadataHash, c.creationMillis))
	for _, id := range members {
		records = append(records, consumerTargetRecord(key, id, c.target[id]))
	}
	records = append(records, consumerTargetEpochRecord(key, c.assignmentEpoch, c.assignmentMillis))
	for _, id := range members {
		records = append(records, consumerCurrentRecord(key, c.members[id]))
	}
	return records
}

// mayDowngrade reports whether the group can be classic once some members are gone: everybody else speaks that protocol.
func (s *shard) mayDowngrade(c *consumerGroup, gone map[string]bool, joining *consumerMember) bool {
	left, consumerGone := 0, false
	for id, m := range c.members {
		switch {
		case gone[id]:
			consumerGone = consumerGone || m.classic == nil
		case m.classic == nil:
			return false
		default:
			left++
		}
	}
	if joining != nil {
		left++
	}
	return consumerGone && left > 0 && left <= int(s.settings().MaxSize) && s.allowsDowngrade()
}

// downgrade makes a consumer group classic: a generation of the members that are left, with what they were to have. A
// joining member takes what the one has that it replaces.
func (s *shard) downgrade(g *group, gone map[string]bool, joining *consumerMember, now time.Time, do *effects) {
	c := g.consumer
	stored := &storedGroup{protocolType: consumerProtocolType, generation: c.epoch, stateChangedMillis: now.UnixMilli()}
	var members []*consumerMember
	targets := make(map[string]assignor.Partitions)
	for _, id := range sortedMembers(c) {
		if !gone[id] {
			members = append(members, c.members[id])
			targets[id] = c.target[id]
		} else if joining != nil {
			targets[joining.id] = c.target[id]
		}
	}
	if joining != nil {
		members = append(members, joining)
	}
	protocol := commonProtocol(members)
	stored.protocol, stored.leader = &protocol, &members[0].id
	for _, m := range members {
		metadata := protocolMetadata(m, protocol)
		stored.members = append(stored.members, storedMember{
			id: m.id, instanceID: m.instanceID, clientID: m.clientID, clientHost: m.clientHost,
			rebalanceTimeoutMillis: m.rebalanceTimeoutMillis, sessionTimeoutMillis: m.classic.sessionTimeoutMillis,
			subscription: metadata, assignment: s.classicAssignment(targets[m.id], versionOf(metadata)),
		})
	}
	do.note("consumer group becomes classic", g, "members", len(members))
	do.write(consumerTombstones(g.key, c)...)
	do.write(groupRecord(g.key, stored))
	if joining == nil {
		do.Then = downgraded{g.key}
	}
}

// onDowngraded has the members join again. Should the write have failed, the group is as it was.
func (s *shard) onDowngraded(e downgraded, err error, now time.Time, do *effects) {
	if g := s.lookup(e.key); err == nil && g != nil && g.consumer == nil && g.state == stable {
		s.prepareRebalance(g, "the consumer group became classic", now, do)
	}
}

// commonProtocol is one that all members speak: the first of the first member's.
func commonProtocol(members []*consumerMember) string {
	for _, p := range members[0].classic.protocols {
		if !slices.ContainsFunc(members, func(m *consumerMember) bool { return protocolMetadata(m, p.Name) == nil }) {
			return p.Name
		}
	}
	return members[0].classic.protocols[0].Name
}

func protocolMetadata(m *consumerMember, protocol string) []byte {
	for _, p := range m.classic.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// versionOf is the version of a subscription, in which the assignment is written, too.
func versionOf(subscription []byte) int16 {
	r := fields.Reader{Rest: subscription}
	return r.Int16()
}

// classicAssignment writes partitions in the form of the classic protocol.
func (s *shard) classicAssignment(partitions assignor.Partitions, version int16) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	a.Version = version
	for _, id := range sortedIDs(partitions) {
		if t, ok := s.topics().TopicByID(id); ok {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: t.Name, Partitions: partitions[id]})
		}
	}
	return a.AppendTo(nil)
}
