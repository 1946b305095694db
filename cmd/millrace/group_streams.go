package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamsLag describes a streams group (KIP-1071) in the form of a classic one, which the verbs print; known is what DescribeGroups
// says of it. There is none when the broker knows no such group, or no such protocol.
func (s *session) streamsLag(ctx context.Context, admin *kadm.Client, known kadm.DescribedGroupLag) (kadm.DescribedGroupLag, bool, error) {
	none := kadm.DescribedGroupLag{}
	request := kmsg.NewPtrStreamsGroupDescribeRequest()
	request.Groups = []string{known.Group}
	answer, err := request.RequestWith(ctx, s.client.Broker(int(known.Coordinator.NodeID)))
	if err != nil || len(answer.Groups) != 1 {
		return none, false, nil // brokers without streams groups do not know the request
	}
	g := answer.Groups[0]
	switch err := kerr.ErrorForCode(g.ErrorCode); {
	case errors.Is(err, kerr.GroupIDNotFound), errors.Is(err, kerr.UnsupportedVersion):
		return none, false, nil
	case err != nil:
		return none, false, fmt.Errorf("describe streams group: %w", err)
	}
	l := kadm.DescribedGroupLag{Group: g.Group, Coordinator: known.Coordinator, State: g.State, ProtocolType: "streams", Protocol: "sticky"}
	counts, err := partitionCounts(ctx, admin, g.Topology)
	if err != nil {
		return none, false, err
	}
	assigned := make([]kadm.TopicsSet, 0, len(g.Members))
	for _, m := range g.Members {
		l.Members = append(l.Members, kadm.DescribedGroupMember{MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost})
		assigned = append(assigned, readBy(m.Assignment.ActiveTasks, g.Topology, counts))
	}
	err = fillLag(ctx, admin, &l, assigned)
	return l, true, err
}

// allStreamsLags describes every streams group; kadm knows the others.
func (s *session) allStreamsLags(ctx context.Context, admin *kadm.Client) ([]kadm.DescribedGroupLag, error) {
	listed, err := admin.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	var out []kadm.DescribedGroupLag
	for _, g := range listed.Sorted() {
		if g.ProtocolType != "streams" {
			continue
		}
		l, ok, err := s.streamsLag(ctx, admin, kadm.DescribedGroupLag{Group: g.Group, Coordinator: kadm.BrokerDetail{NodeID: g.Coordinator}})
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, l)
		}
	}
	return out, nil
}

// partitionCounts are those of the topics that an application reads.
func partitionCounts(ctx context.Context, admin *kadm.Client, t *kmsg.StreamsGroupDescribeResponseGroupTopology) (map[string]int32, error) {
	var names []string
	if t != nil {
		for _, sub := range t.Subtopologies {
			names = append(names, readTopics(sub)...)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	topics, err := admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("list the topics of a streams group: %w", err)
	}
	counts := map[string]int32{}
	for name, topic := range topics {
		counts[name] = int32(len(topic.Partitions))
	}
	return counts, nil
}

// readTopics are the topics that a subtopology reads.
func readTopics(sub kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology) []string {
	names := append([]string{}, sub.SourceTopics...)
	for _, topic := range sub.RepartitionSourceTopics {
		names = append(names, topic.Topic)
	}
	return names
}

// readBy are the partitions that active tasks read.
func readBy(tasks []kmsg.TaskIDs, t *kmsg.StreamsGroupDescribeResponseGroupTopology, counts map[string]int32) kadm.TopicsSet {
	read := kadm.TopicsSet{}
	if t == nil {
		return read // nothing is known of what the tasks read
	}
	for _, task := range tasks {
		for _, sub := range t.Subtopologies {
			if sub.SubtopologyID != task.SubtopologyID {
				continue
			}
			for _, name := range readTopics(sub) {
				for _, p := range task.Partitions {
					if p < counts[name] {
						read.Add(name, p)
					}
				}
			}
		}
	}
	return read
}
