package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// consumerLag describes a group of the consumer protocol (KIP-848) in the form of a classic one, which the verbs print. There
// is none when the broker knows no such group, or no such protocol.
func consumerLag(ctx context.Context, admin *kadm.Client, group string) (kadm.DescribedGroupLag, bool, error) {
	described, err := admin.DescribeConsumerGroups(ctx, group)
	g, ok := described[group]
	switch {
	case errors.Is(err, kerr.UnsupportedVersion) || ok && (errors.Is(g.Err, kerr.GroupIDNotFound) || errors.Is(g.Err, kerr.UnsupportedVersion)):
		return kadm.DescribedGroupLag{}, false, nil
	case err != nil && !ok:
		return kadm.DescribedGroupLag{}, false, fmt.Errorf("describe consumer group: %w", err)
	}
	l := kadm.DescribedGroupLag{
		Group: group, Coordinator: g.Coordinator, State: g.State, ProtocolType: "consumer", Protocol: g.AssignorName, DescribeErr: g.Err,
	}
	for _, m := range g.Members {
		l.Members = append(l.Members, kadm.DescribedGroupMember{MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, ClientHost: m.ClientHost})
	}
	assigned := make([]kadm.TopicsSet, 0, len(g.Members))
	for _, m := range g.Members {
		assigned = append(assigned, m.Assignment)
	}
	err = fillLag(ctx, admin, &l, assigned)
	return l, true, err
}

// fillLag finds out how far a group is behind, and who of its members has what; assigned is in their order.
func fillLag(ctx context.Context, admin *kadm.Client, l *kadm.DescribedGroupLag, assigned []kadm.TopicsSet) error {
	commits, err := admin.FetchOffsets(ctx, l.Group)
	if err != nil {
		l.FetchErr = err
		return nil
	}
	wanted := commits.Offsets().TopicsSet()
	for _, topics := range assigned {
		wanted.Merge(topics)
	}
	if len(wanted) == 0 {
		return nil
	}
	starts, err := admin.ListStartOffsets(ctx, wanted.Topics()...)
	if err != nil {
		return fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, wanted.Topics()...)
	if err != nil {
		return fmt.Errorf("list end offsets: %w", err)
	}
	for topic, partitions := range wanted {
		for partition := range partitions { // nothing is committed of it yet
			if _, committed := commits.Lookup(topic, partition); !committed {
				commits.Add(kadm.OffsetResponse{Offset: kadm.Offset{Topic: topic, Partition: partition, At: -1, LeaderEpoch: -1}})
			}
		}
	}
	l.Lag = kadm.CalculateGroupLagWithStartOffsets(kadm.DescribedGroup{Group: l.Group, State: "Empty"}, commits, starts, ends)
	for i, topics := range assigned {
		for topic, partitions := range topics {
			for partition := range partitions {
				if p, ok := l.Lag[topic][partition]; ok {
					p.Member = &l.Members[i]
					l.Lag[topic][partition] = p
				}
			}
		}
	}
	return nil
}

// assignedBy is what a member has by the rows of its group: groups of newer protocols have no assignment of their own form.
func assignedBy(l kadm.DescribedGroupLag, memberID string) []assignedTopics {
	assigned := []assignedTopics{}
	for topic, partitions := range l.Lag {
		var has []int32
		for partition, p := range partitions {
			if p.Member != nil && p.Member.MemberID == memberID {
				has = append(has, partition)
			}
		}
		if len(has) > 0 {
			slices.Sort(has)
			assigned = append(assigned, assignedTopics{topic, has})
		}
	}
	slices.SortFunc(assigned, func(a, b assignedTopics) int { return cmp.Compare(a.Topic, b.Topic) })
	return assigned
}
