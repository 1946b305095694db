package group

import (
	"maps"
	"slices"
	"time"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// draft is a consumer group as a step would have it: what is replayed, and on top of it what the step writes.
type draft struct {
	s       *shard
	key     groupKey
	now     time.Time
	do      *effects
	before  *consumerGroup
	members map[string]*consumerMember // changed ones; nil: taken out
	targets map[string]assignor.Partitions
	regexes map[string]*resolvedRegex

	epoch, assignmentEpoch int32
	assignmentMillis       int64
	metadataHash           uint64
	creationMillis         int64
}

func (s *shard) draft(key groupKey, c *consumerGroup, now time.Time, do *effects) *draft {
	return &draft{
		s: s, key: key, now: now, do: do, before: c,
		members: make(map[string]*consumerMember), targets: make(map[string]assignor.Partitions), regexes: make(map[string]*resolvedRegex),
		epoch: c.epoch, assignmentEpoch: c.assignmentEpoch, assignmentMillis: c.assignmentMillis, metadataHash: c.metadataHash, creationMillis: c.creationMillis,
	}
}

func (d *draft) member(id string) *consumerMember {
	if m, changed := d.members[id]; changed {
		return m
	}
	return d.before.members[id]
}

func (d *draft) regex(expression string) *resolvedRegex {
	if r, changed := d.regexes[expression]; changed {
		return r
	}
	return d.before.regexes[expression]
}

func (d *draft) target(id string) assignor.Partitions {
	if t, changed := d.targets[id]; changed {
		return t
	}
	return d.before.target[id]
}

// all are the members as they will be, by id.
func (d *draft) all() []*consumerMember {
	all := make([]*consumerMember, 0, len(d.before.members)+1)
	for id, m := range d.before.members {
		if _, changed := d.members[id]; !changed {
			all = append(all, m)
		}
	}
	for _, m := range d.members {
		if m != nil {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *consumerMember) int { return compareStrings(a.id, b.id) })
	return all
}

func (d *draft) topicsOf(m *consumerMember) []string {
	if m.regex == "" {
		return m.topics
	}
	r := d.regex(m.regex)
	if r == nil || len(r.topics) == 0 {
		return m.topics
	}
	if len(m.topics) == 0 {
		return r.topics
	}
	all := append(slices.Clone(m.topics), r.topics...)
	slices.Sort(all)
	return slices.Compact(all)
}

// topicIDsOf are the topics of a member that exist.
func (d *draft) topicIDsOf(m *consumerMember) map[TopicID]bool {
	names := d.topicsOf(m)
	ids := make(map[TopicID]bool, len(names))
	topics := d.s.topics()
	for _, name := range names {
		if t, ok := topics.Topic(d.key.tenant, name); ok {
			ids[t.ID] = true
		}
	}
	return ids
}

// hash is of all topics that anybody will subscribe to.
func (d *draft) hash() uint64 {
	names := make(map[string]bool)
	seen := make(map[string]bool) // regular expressions
	for _, m := range d.all() {
		for _, topic := range m.topics {
			names[topic] = true
		}
		if m.regex != "" && !seen[m.regex] {
			seen[m.regex] = true
			if r := d.regex(m.regex); r != nil {
				for _, topic := range r.topics {
					names[topic] = true
				}
			}
		}
	}
	return hashOf(d.s.topics(), d.key.tenant, slices.Sorted(maps.Keys(names)))
}

// put writes what a member says of itself.
func (d *draft) put(m *consumerMember) {
	d.members[m.id] = m
	d.do.write(consumerMemberRecord(d.key, m))
}

// remove takes a member out: its records end in the order that Kafka ends them.
func (d *draft) remove(id string) {
	d.members[id] = nil
	d.targets[id] = nil
	d.do.write(consumerMemberTombstone(consumerCurrentKey, d.key, id), consumerMemberTombstone(consumerTargetMemberKey, d.key, id),
		consumerMemberTombstone(consumerMemberKey, d.key, id))
}

// bump raises the group's epoch: another assignment is called for. The first is 2, as in Kafka.
func (d *draft) bump() {
	d.epoch = max(2, d.epoch+1)
	d.metadataHash = d.hash()
	d.do.write(consumerEpochRecord(d.key, d.epoch, d.metadataHash, d.creationMillis))
	if d.before.oldMetadata {
		d.do.write(consumerTombstone(consumerPartitionsKey, d.key))
	}
}

// assign makes the target for the group's epoch and writes what is new in it.
func (d *draft) assign() {
	members := d.all()
	targets := d.computeTargets(members)
	for _, m := range members {
		next := targets[m.id]
		if current, had := d.lookupTarget(m.id); !had || !current.Equal(next) {
			d.targets[m.id] = next
			d.do.write(consumerTargetRecord(d.key, m.id, next))
		}
	}
	d.s.figures.rebalances++
	d.assignmentEpoch, d.assignmentMillis = d.epoch, d.now.UnixMilli()
	d.do.write(consumerTargetEpochRecord(d.key, d.epoch, d.now.UnixMilli()))
}

func (d *draft) lookupTarget(id string) (assignor.Partitions, bool) {
	t := d.target(id)
	return t, t != nil
}

func (d *draft) computeTargets(members []*consumerMember) map[string]assignor.Partitions {
	topics := make(map[TopicID]assignor.Topic)
	byList := make(map[*string][]TopicID) // members that share a list of names, as those of one regular expression do
	input := make([]assignor.Member, 0, len(members))
	for _, m := range members {
		names := d.topicsOf(m)
		var ids []TopicID
		if len(names) > 0 {
			if shared, ok := byList[&names[0]]; ok {
				ids = shared
			} else {
				ids = d.idsOf(names, topics)
				byList[&names[0]] = ids
			}
		}
		input = append(input, assignor.Member{ID: m.id, InstanceID: m.instanceID, Topics: ids, Assigned: d.target(m.id)})
	}
	return d.assignor(members)(input, topics)
}

// idsOf finds the topics that exist, sorted by id, and notes them in topics.
func (d *draft) idsOf(names []string, topics map[TopicID]assignor.Topic) []TopicID {
	view := d.s.topics()
	ids := make([]TopicID, 0, len(names))
	for _, name := range names {
		if t, ok := view.Topic(d.key.tenant, name); ok {
			ids = append(ids, t.ID)
			topics[t.ID] = assignor.Topic{ID: t.ID, Partitions: t.Partitions}
		}
	}
	slices.SortFunc(ids, func(a, b TopicID) int { return slices.Compare(a[:], b[:]) })
	return ids
}

// assignorName is the assignor that most members prefer; of equals the first by name; without a preference the default.
func (d *draft) assignorName(members []*consumerMember) string {
	votes := make(map[string]int)
	for _, m := range members {
		if m.assignorName != nil {
			votes[*m.assignorName]++
		}
	}
	chosen := ""
	for _, name := range sortedKeys(votes) {
		if chosen == "" || votes[name] > votes[chosen] {
			chosen = name
		}
	}
	if chosen == "" || assignor.ByName(chosen) == nil {
		return d.s.settings().defaultAssignor()
	}
	return chosen
}

func (d *draft) assignor(members []*consumerMember) assignor.Assignor {
	if a := assignor.ByName(d.assignorName(members)); a != nil {
		return a
	}
	return assignor.Uniform
}

// reconcile brings a member nearer to its target.
func (d *draft) reconcile(m *consumerMember, said owned, resubscribed bool) *consumerMember {
	if !resubscribed && m.isReconciled(d.assignmentEpoch) {
		return m
	}
	r := reconciliation{
		member: m, epoch: d.assignmentEpoch, target: d.target(m.id), subscribed: d.topicIDsOf(m), resubscribe: resubscribed, owned: said,
		owner: func(id TopicID, partition int32) string { return d.before.owners[id][partition] },
	}
	next := r.next()
	if next.epoch == m.epoch && next.previousEpoch == m.previousEpoch && next.state == m.state && next.assigned.equal(m.assigned) &&
		next.revoking.equal(m.revoking) {
		return m
	}
	d.members[next.id] = next
	d.do.write(consumerCurrentRecord(d.key, next))
	d.watchRevocation(next)
	return next
}
