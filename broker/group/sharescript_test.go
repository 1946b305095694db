package group

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// What scripts say and print of share groups.

// parseShare reads `anna: share-beat member=a epoch=0 topics=t,u` and the other requests of share groups.
func parseShare(t *testing.T, who, verb string, key groupKey, args map[string]string) any {
	t.Helper()
	switch verb {
	case "share-beat":
		r := kmsg.NewPtrShareGroupHeartbeatRequest()
		r.Version, r.GroupID, r.MemberID, r.MemberEpoch, r.RackID = 1, key.id, args["member"], int32(number(t, args, "epoch", 0)), optional(args, "rack")
		if topics, ok := args["topics"]; ok {
			r.SubscribedTopicNames = append([]string{}, list(topics)...)
		}
		if fault := shareHeartbeatFault(r); fault != "" {
			t.Fatalf("heartbeat is refused by the service: %s", fault)
		}
		return shareHeartbeatRequest{key: key, caller: Caller{Tenant: defaultTenant, ClientID: who, ClientHost: "/10.0.0.1"}, body: r}
	case "share-states":
		return shareInitialized{key, parseStates(t, args)}
	case "describe-share":
		return describeSharesRequest{[]groupKey{key}}
	case "share-offsets":
		return shareOffsetsRequest{key}
	case "share-alter":
		return alterShareRequest{key, parseStates(t, args)}
	case "share-forget":
		_, done := args["done"]
		e := forgetShareRequest{key: key, done: done}
		for _, topic := range list(args["topics"]) {
			e.topics = append(e.topics, testTopicID(topic))
		}
		return e
	}
	t.Fatalf("unknown request %q", verb)
	return nil
}

// parseStates reads t=0,1.
func parseStates(t *testing.T, args map[string]string) (states []ShareState) {
	t.Helper()
	for _, topic := range slices.Sorted(maps.Keys(args)) {
		if topic == "group" {
			continue
		}
		for _, p := range parseOwned(t, topic+":"+args[topic])[0].Partitions {
			states = append(states, ShareState{TopicID: testTopicID(topic), Topic: topic, Partition: p})
		}
	}
	return states
}

// showShare prints an answer of a share group, ok is false for others.
func showShare(response any) (s string, ok bool) {
	switch r := response.(type) {
	case shareHeartbeatAnswer:
		if r.body.ErrorCode != 0 {
			return errorName(r.body.ErrorCode) + " " + text(r.body.ErrorMessage), true
		}
		s = fmt.Sprintf("%s at epoch %d, next in %dms", text(r.body.MemberID), r.body.MemberEpoch, r.body.HeartbeatIntervalMillis)
		if a := r.body.Assignment; a != nil {
			has := assignor.Partitions{}
			for _, t := range a.TopicPartitions {
				has[t.TopicID] = t.Partitions
			}
			s += " has " + showPartitions(has)
		} else {
			s += " no news"
		}
		for _, b := range r.begin {
			s += fmt.Sprintf(" begin=%s-%d", b.Topic, b.Partition)
		}
		return s, true
	case struct{}:
		return "noted", true
	case []kmsg.ShareGroupDescribeResponseGroup:
		g := r[0]
		if g.ErrorCode != 0 {
			return errorName(g.ErrorCode) + " " + text(g.ErrorMessage), true
		}
		s = fmt.Sprintf("%s epoch=%d assigned=%d", g.GroupState, g.GroupEpoch, g.AssignmentEpoch)
		for _, m := range g.Members {
			s += fmt.Sprintf(" %s@%d %v", m.MemberID, m.MemberEpoch, m.SubscribedTopicNames)
		}
		return s, true
	case shareOffsetsAnswer:
		return showStates(r.topics, r.fault != nil), true
	case forgetShareAnswer:
		return showStates(r.topics, r.fault != nil), true
	case alterShareAnswer:
		if r.fault != nil {
			return r.fault.Message, true
		}
		for _, b := range r.states {
			s += fmt.Sprintf("%s-%d epoch=%d ", b.Topic, b.Partition, b.StateEpoch)
		}
		return strings.TrimSpace(s), true
	}
	return "", false
}

func showStates(topics map[TopicID]stateTopic, refused bool) string {
	if refused {
		return "refused"
	}
	return fmt.Sprint(topicList(topics))
}

func topicList(topics map[TopicID]stateTopic) (all []string) {
	for _, id := range sortedIDs(topics) {
		all = append(all, fmt.Sprintf("%s:%s", topics[id].name, strings.ReplaceAll(strings.Trim(fmt.Sprint(topics[id].partitions), "[]"), " ", ",")))
	}
	return all
}

func showShareRecord(key parsedKey, value []byte) string {
	what := map[int16]string{shareMemberKey: "share member", shareMetadataKey: "share group", shareTargetMetadataKey: "share assigned",
		shareTargetMemberKey: "share target", shareCurrentKey: "share current", shareStatesKey: "share states"}[key.kind]
	s := strings.TrimSpace(fmt.Sprintf("%s %s %s", key.group.id, what, key.member))
	if value == nil {
		return s + " tombstone"
	}
	g := (*shareGroup)(nil).clone()
	if err := g.replay(key, value); err != nil {
		return err.Error()
	}
	switch key.kind {
	case shareMemberKey:
		return fmt.Sprintf("%s %s topics=%v", s, g.members[key.member].clientID, g.members[key.member].topics)
	case shareMetadataKey:
		return fmt.Sprintf("%s epoch=%d", s, g.epoch)
	case shareTargetMetadataKey:
		return fmt.Sprintf("%s epoch=%d", s, g.assignmentEpoch)
	case shareTargetMemberKey:
		return fmt.Sprintf("%s %s", s, showPartitions(g.target[key.member]))
	case shareCurrentKey:
		m := g.members[key.member]
		return fmt.Sprintf("%s epoch=%d<%d has=%s", s, m.epoch, m.previousEpoch, showPartitions(m.assigned))
	}
	deleting := 0
	for range g.states.deleting {
		deleting++
	}
	return fmt.Sprintf("%s initializing=%v initialized=%v deleting=%d", s, topicList(g.states.initializing), topicList(g.states.initialized), deleting)
}

// dumpShare shows what is in the log of a share group.
func dumpShare(g *shareGroup) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  share epoch=%d hash=%d assigned=%d %d initializing=%v initialized=%v deleting=%v\n", g.epoch, g.metadataHash, g.assignmentEpoch,
		g.assignmentMillis, topicList(g.states.initializing), topicList(g.states.initialized), g.states.deleting)
	for _, id := range sortedKeys(g.members) {
		m := g.members[id]
		fmt.Fprintf(&b, "  %s %s %s %v %d %d %s\n", id, m.clientID, m.clientHost, m.topics, m.epoch, m.previousEpoch, showPartitions(m.assigned))
	}
	for _, id := range sortedKeys(g.target) {
		fmt.Fprintf(&b, "  target %s %s\n", id, showPartitions(g.target[id]))
	}
	return b.String()
}
