package group

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// What scripts say and print of groups of the consumer protocol.

// parseBeat reads `anna: beat member=a epoch=0 topics=t,u owned=t:0,1;u:2`. A first heartbeat has what one must have.
func parseBeat(t *testing.T, who string, key groupKey, args map[string]string) any {
	t.Helper()
	r := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	r.Version, r.Group, r.MemberID, r.MemberEpoch = int16(number(t, args, "v", 1)), key.id, args["member"], int32(number(t, args, "epoch", 0))
	r.InstanceID, r.RackID, r.ServerAssignor, r.SubscribedTopicRegex = optional(args, "instance"), optional(args, "rack"), optional(args, "assignor"), optional(args, "regex")
	r.RebalanceTimeoutMillis = int32(number(t, args, "rebalance", -1))
	if r.MemberEpoch == 0 {
		r.RebalanceTimeoutMillis, r.Topics = int32(number(t, args, "rebalance", 60000)), []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	if topics, ok := args["topics"]; ok {
		r.SubscribedTopicNames = append([]string{}, list(topics)...)
	}
	if has, ok := args["owned"]; ok {
		r.Topics = parseOwned(t, has)
	}
	if fault := checkConsumerHeartbeat(r, []string{"uniform", "range"}); fault != nil {
		t.Fatalf("heartbeat is refused by the service: %s", fault.message)
	}
	caller := Caller{Tenant: defaultTenant, ClientID: who, ClientHost: "/10.0.0.1", Unhurried: args["unhurried"] != ""}
	return consumerHeartbeatRequest{key: key, caller: caller, body: r, newMemberID: args["id"],
		allowed: func(topic string) bool { return !strings.HasPrefix(topic, "secret") }}
}

func parseOwned(t *testing.T, s string) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	t.Helper()
	all := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, one := range strings.FieldsFunc(s, func(r rune) bool { return r == ';' }) {
		topic, partitions, _ := strings.Cut(one, ":")
		x := kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: testTopicID(topic)}
		for _, p := range list(partitions) {
			n, err := strconv.Atoi(p)
			if err != nil {
				t.Fatal(err)
			}
			x.Partitions = append(x.Partitions, int32(n))
		}
		all = append(all, x)
	}
	return all
}

// changeTopics sets partition counts, `topics t=3 u=0`; 0 deletes the topic.
func (w *world) changeTopics(t *testing.T, args map[string]string) {
	t.Helper()
	names := map[string]bool{}
	for name, value := range args {
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatal(err)
		}
		names[name] = true
		w.topics[name] = int32(n)
		if n == 0 {
			delete(w.topics, name)
		}
	}
	w.step(topicsChanged{defaultTenant, names}, 0)
}

func testTopicName(id TopicID) string { return strings.TrimRight(string(id[:]), "\x00") }

func showPartitions(p assignor.Partitions) string {
	var each []string
	for _, id := range sortedIDs(p) {
		each = append(each, fmt.Sprintf("%s:%s", testTopicName(id), strings.Trim(strings.ReplaceAll(fmt.Sprint(p[id]), " ", ","), "[]")))
	}
	return "[" + strings.Join(each, " ") + "]"
}

// showHeld prints the epoch of each partition's assignment where one differs from the member's.
func showHeld(h held, epoch int32) string {
	s := showPartitions(h.partitions())
	older := map[int32]bool{}
	for _, partitions := range h {
		for _, e := range partitions {
			if e != epoch {
				older[e] = true
			}
		}
	}
	if len(older) > 0 {
		s += fmt.Sprintf("since%v", slices.Sorted(maps.Keys(older)))
	}
	return s
}

func showBeat(r *kmsg.ConsumerGroupHeartbeatResponse) string {
	if r.ErrorCode != 0 {
		return errorName(r.ErrorCode) + " " + text(r.ErrorMessage)
	}
	s := fmt.Sprintf("%s at epoch %d, next in %dms", text(r.MemberID), r.MemberEpoch, r.HeartbeatIntervalMillis)
	if r.Assignment != nil {
		p := make(assignor.Partitions)
		for _, t := range r.Assignment.Topics {
			p[t.TopicID] = t.Partitions
		}
		s += " has " + showPartitions(p)
	}
	return s
}

func showDescribedConsumer(g kmsg.ConsumerGroupDescribeResponseGroup) string {
	if g.ErrorCode != 0 {
		return errorName(g.ErrorCode) + " " + text(g.ErrorMessage)
	}
	s := fmt.Sprintf("%s epoch=%d assigned=%d by %s", g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName)
	for _, m := range g.Members {
		s += fmt.Sprintf(" [%s@%s type=%d epoch=%d topics=%v regex=%s has=%s target=%s]", m.MemberID, text(m.InstanceID), m.MemberType, m.MemberEpoch,
			m.SubscribedTopics, text(m.SubscribedTopicRegex), showDescribedPartitions(m.Assignment), showDescribedPartitions(m.TargetAssignment))
	}
	return s
}

func showDescribedPartitions(a kmsg.Assignment) string {
	p := make(assignor.Partitions)
	for _, t := range a.TopicPartitions {
		p[t.TopicID] = t.Partitions
	}
	return showPartitions(p)
}

func showConsumerRecord(key parsedKey, value []byte) string {
	s := newShard(DefaultSettings, func() Topics { return noTopics{} })
	what := map[int16]string{
		consumerMetadataKey: "group", consumerPartitionsKey: "partitions", consumerMemberKey: "member " + key.member, consumerTargetMetadataKey: "assigned",
		consumerTargetMemberKey: "target " + key.member, consumerCurrentKey: "current " + key.member, consumerRegularExpressionKey: "regex " + key.member,
	}[key.kind]
	if value == nil {
		return fmt.Sprintf("%s %s tombstone", key.group.id, what)
	}
	if err := s.replayConsumer(key, value); err != nil {
		return err.Error()
	}
	c := s.lookup(key.group).consumer
	m := c.members[key.member]
	says := ""
	switch key.kind {
	case consumerMetadataKey:
		says = fmt.Sprintf("epoch=%d", c.epoch)
	case consumerTargetMetadataKey:
		says = fmt.Sprintf("epoch=%d", c.assignmentEpoch)
	case consumerMemberKey:
		says = showSaid(m)
	case consumerTargetMemberKey:
		says = showPartitions(c.target[key.member])
	case consumerCurrentKey:
		says = showCurrent(m)
	case consumerRegularExpressionKey:
		says = fmt.Sprint(c.regexes[key.member].topics)
	}
	return fmt.Sprintf("%s %s %s", key.group.id, what, says)
}

func showSaid(m *consumerMember) string {
	s := fmt.Sprintf("@%s %s topics=%v", text(m.instanceID), m.clientID, m.topics)
	if m.regex != "" {
		s += " regex=" + m.regex
	}
	if m.classic != nil {
		s += fmt.Sprintf(" classic session=%d", m.classic.sessionTimeoutMillis)
		for _, p := range m.classic.protocols {
			s += " " + p.Name
		}
	}
	return s
}

func showCurrent(m *consumerMember) string {
	state := map[memberState]string{memberStable: "stable", memberUnrevoked: "unrevoked", memberUnreleased: "unreleased"}[m.state]
	s := fmt.Sprintf("epoch=%d<%d %s has=%s", m.epoch, m.previousEpoch, state, showHeld(m.assigned, m.epoch))
	if len(m.revoking) > 0 {
		s += " gives=" + showHeld(m.revoking, m.epoch)
	}
	return s
}

func dumpConsumer(key groupKey, c *consumerGroup) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  consumer epoch=%d hash=%x created=%d assigned=%d at %d old=%v\n", c.epoch, c.metadataHash, c.creationMillis, c.assignmentEpoch, c.assignmentMillis, c.oldMetadata)
	for _, id := range sortedMembers(c) {
		fmt.Fprintf(&b, "  %s %s %s\n", id, showSaid(c.members[id]), showCurrent(c.members[id]))
	}
	for _, id := range sortedKeys(c.target) {
		fmt.Fprintf(&b, "  target %s %s\n", id, showPartitions(c.target[id]))
	}
	for _, regex := range sortedKeys(c.regexes) {
		fmt.Fprintf(&b, "  regex %s %v\n", regex, c.regexes[regex].topics)
	}
	for _, id := range sortedIDs(c.owners) {
		fmt.Fprintf(&b, "  owners %s %v\n", testTopicName(id), c.owners[id])
	}
	fmt.Fprintf(&b, "  static %v subscribers %v matchers %v reconciled %d classic %d\n", c.static, c.subscribers, c.matchers, c.reconciled, c.classicCount)
	return b.String()
}
