package group

import (
	"context"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// OffsetCommit commits offsets. Topics must exist and have their names, whatever the version; the caller sees to both.
func (s *Service) OffsetCommit(ctx context.Context, who Caller, r *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	resp := s.offsetCommit(ctx, who, r)
	resp.Version = r.Version
	return resp
}

func (s *Service) offsetCommit(ctx context.Context, who Caller, r *kmsg.OffsetCommitRequest) *kmsg.OffsetCommitResponse {
	if len(r.Group) > maxNameBytes {
		return CommitError(r, kerr.InvalidGroupID)
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, commitRequest{key, r})
	if err != nil {
		return CommitError(r, err)
	}
	return answer.(*kmsg.OffsetCommitResponse)
}

// OffsetFetch tells the committed offsets of one group. Topics must have their names; nil Topics asks for all. The
// answer has no topic ids for those. requireStable refuses offsets that an open transaction is about to change.
func (s *Service) OffsetFetch(ctx context.Context, who Caller, r *kmsg.OffsetFetchRequestGroup, requireStable bool) kmsg.OffsetFetchResponseGroup {
	answer, err := s.fetchOffsets(ctx, fetchRequest{groupKey{who.Tenant, r.Group}, r, requireStable})
	if err == nil {
		return *answer.(*kmsg.OffsetFetchResponseGroup)
	}
	if err == kerr.CoordinatorNotAvailable {
		err = kerr.NotCoordinator // consumers before 3.9 do not try again on the other
	}
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group, resp.ErrorCode = r.Group, err.Code
	return resp
}

// fetchOffsets tells no offsets that may be old: they would be read anew, by who processes exactly once, too. The answer may
// wait for records before it that nobody can commit any more, so it is asked before, too.
func (s *Service) fetchOffsets(ctx context.Context, r fetchRequest) (any, *kerr.Error) {
	if s.cfg.Leaderships == nil {
		return s.ask(ctx, r.key, r)
	}
	partition := s.partitionOf(r.key)
	leaderEpoch, doubtful := s.cfg.Leaderships.Standing(partition)
	if doubtful {
		return nil, kerr.NotCoordinator
	}
	answer, err := s.ask(ctx, r.key, r)
	if err == nil && !s.cfg.Leaderships.Confirm(ctx, partition, leaderEpoch) {
		err = kerr.NotCoordinator
	}
	return answer, err
}

// OffsetDelete deletes offsets of topics that exist.
func (s *Service) OffsetDelete(ctx context.Context, who Caller, r *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := r.ResponseKind().(*kmsg.OffsetDeleteResponse)
	if !isMemberGroupID(r.Group) {
		resp.ErrorCode = kerr.InvalidGroupID.Code
		return resp
	}
	key := groupKey{who.Tenant, r.Group}
	answer, err := s.ask(ctx, key, deleteOffsetsRequest{key, r})
	if err != nil {
		resp.ErrorCode = err.Code
		return resp
	}
	told := answer.(*kmsg.OffsetDeleteResponse)
	resp.ErrorCode, resp.Topics = told.ErrorCode, told.Topics
	return resp
}

// DescribeGroups describes groups, in order; version is of the request.
func (s *Service) DescribeGroups(ctx context.Context, who Caller, ids []string, version int16) []kmsg.DescribeGroupsResponseGroup {
	return scatter(s, who, ids, func(partition int32, keys []groupKey) []kmsg.DescribeGroupsResponseGroup {
		answer, err := s.runtime.Submit(ctx, partition, describeRequest{keys, version})
		if err == nil {
			return answer.([]kmsg.DescribeGroupsResponseGroup)
		}
		refused := make([]kmsg.DescribeGroupsResponseGroup, 0, len(keys))
		for _, key := range keys {
			g := kmsg.NewDescribeGroupsResponseGroup()
			g.Group, g.ErrorCode = key.id, coordinator.Refusal(err).Code
			refused = append(refused, g)
		}
		return refused
	})
}

// DeleteGroups deletes groups without members, in order; ids are different ones.
func (s *Service) DeleteGroups(ctx context.Context, who Caller, ids []string) []kmsg.DeleteGroupsResponseGroup {
	s.deleteShareStates(ctx, who, ids)
	return scatter(s, who, ids, func(partition int32, keys []groupKey) []kmsg.DeleteGroupsResponseGroup {
		answer, err := s.runtime.Submit(ctx, partition, deleteGroupsRequest{keys})
		if err == nil {
			return answer.([]kmsg.DeleteGroupsResponseGroup)
		}
		refused := make([]kmsg.DeleteGroupsResponseGroup, 0, len(keys))
		for _, key := range keys {
			g := kmsg.NewDeleteGroupsResponseGroup()
			g.Group, g.ErrorCode = key.id, coordinator.Refusal(err).Code
			refused = append(refused, g)
		}
		return refused
	})
}

// scatter asks each partition once for all of its groups, and brings the answers into the order of ids.
func scatter[R any](s *Service, who Caller, ids []string, ask func(partition int32, keys []groupKey) []R) []R {
	places := make(map[int32][]int) // of a partition's groups in ids
	var order []int32
	for i, id := range ids {
		partition := s.partitionOf(groupKey{who.Tenant, id})
		if places[partition] == nil {
			order = append(order, partition)
		}
		places[partition] = append(places[partition], i)
	}
	all := make([]R, len(ids))
	for _, partition := range order {
		keys := make([]groupKey, 0, len(places[partition]))
		for _, i := range places[partition] {
			keys = append(keys, groupKey{who.Tenant, ids[i]})
		}
		for j, answer := range ask(partition, keys) {
			all[places[partition][j]] = answer
		}
	}
	return all
}

// ListGroups lists the caller's groups. One partition that cannot answer is an error for all: a list with holes would
// look whole.
func (s *Service) ListGroups(ctx context.Context, who Caller, r *kmsg.ListGroupsRequest) *kmsg.ListGroupsResponse {
	resp := r.ResponseKind().(*kmsg.ListGroupsResponse)
	states, types := lowered(r.StatesFilter), lowered(r.TypesFilter)
	ids, _ := s.runtime.Partitions()
	slices.Sort(ids)
	for _, id := range ids {
		answer, err := s.runtime.Submit(ctx, id, listRequest{who.Tenant, states, types})
		if err == kerr.NotCoordinator {
			continue // lost since: its groups are on another broker's list
		}
		if err != nil {
			resp.ErrorCode, resp.Groups = coordinator.Refusal(err).Code, nil
			return resp
		}
		resp.Groups = append(resp.Groups, answer.([]kmsg.ListGroupsResponseGroup)...)
	}
	return resp
}

// lowered is a filter in lower case: names of states and types are compared without it.
func lowered(names []string) []string {
	lower := make([]string, 0, len(names))
	for _, name := range names {
		lower = append(lower, strings.ToLower(strings.TrimSpace(name)))
	}
	return lower
}
