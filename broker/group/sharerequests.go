package group

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// ShareStates are the share coordinators as the group coordinator sees them. Errors are in the order of what is asked.
type ShareStates interface {
	InitializeShares(ctx context.Context, tenant, group string, states []ShareState) []error
	DeleteShares(ctx context.Context, tenant, group string, states []ShareState) []error
}

// shareStatesTimeout bounds how long share coordinators are asked; who waits for it asks again.
const shareStatesTimeout = 10 * time.Second

// initializations are the groups whose partitions are being initialized: one at a time for each.
type initializations struct {
	mu      sync.Mutex
	running map[groupKey]bool // guarded by mu
	closed  bool              // guarded by mu
	closing context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup // added to under mu while not closed
}

func newInitializations() *initializations {
	ctx, cancel := context.WithCancel(context.Background())
	return &initializations{running: map[groupKey]bool{}, closing: ctx, cancel: cancel}
}

func (i *initializations) start(key groupKey, run func(context.Context)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || i.running[key] {
		return
	}
	i.running[key] = true
	i.work.Go(func() {
		ctx, cancel := context.WithTimeout(i.closing, shareStatesTimeout)
		defer cancel()
		run(ctx)
		i.mu.Lock()
		delete(i.running, key)
		i.mu.Unlock()
	})
}

func (i *initializations) close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.cancel()
	i.work.Wait()
}

// ShareGroupHeartbeat answers when what it led to is committed. Partitions without a state are initialized meanwhile.
func (s *Service) ShareGroupHeartbeat(ctx context.Context, who Caller, r *kmsg.ShareGroupHeartbeatRequest) *kmsg.ShareGroupHeartbeatResponse {
	resp := s.shareGroupHeartbeat(ctx, who, r)
	resp.Version = r.Version
	return resp
}

func (s *Service) shareGroupHeartbeat(ctx context.Context, who Caller, r *kmsg.ShareGroupHeartbeatRequest) *kmsg.ShareGroupHeartbeatResponse {
	if message := shareHeartbeatFault(r); message != "" {
		return shareHeartbeatError(kerr.InvalidRequest, message)
	}
	key := groupKey{who.Tenant, r.GroupID}
	answer, err := s.ask(ctx, key, shareHeartbeatRequest{key: key, caller: who, body: r})
	if err != nil {
		return shareHeartbeatError(err, "")
	}
	told := answer.(shareHeartbeatAnswer)
	if len(told.begin) > 0 && s.cfg.ShareStates != nil {
		s.initializing.start(key, func(ctx context.Context) { s.initializeShares(ctx, key, told.begin) })
	}
	return told.body
}

// initializeShares has share coordinators make states, and partitions assigned that have one.
func (s *Service) initializeShares(ctx context.Context, key groupKey, states []ShareState) []error {
	errs := s.cfg.ShareStates.InitializeShares(ctx, key.tenant, key.id, states)
	var done []ShareState
	for i, err := range errs {
		if err == nil || err == kerr.FencedStateEpoch { // it has a later one
			done = append(done, states[i])
		} else {
			s.cfg.Logger.Warn("cannot initialize a share partition", "group", key.id, "topic", states[i].Topic, "partition", states[i].Partition, "err", err)
		}
	}
	if len(done) > 0 {
		if _, err := s.ask(ctx, key, shareInitialized{key, done}); err != nil {
			for i := range errs {
				if errs[i] == nil {
					errs[i] = err
				}
			}
		}
	}
	return errs
}

// maxShareMemberID is the longest member id of a share group: that of a UUID.
const maxShareMemberID = 36

// shareHeartbeatFault holds a request against what can be said without the group; "" is no fault.
func shareHeartbeatFault(r *kmsg.ShareGroupHeartbeatRequest) string {
	switch {
	case strings.TrimSpace(r.MemberID) == "":
		return "MemberId can't be empty."
	case strings.TrimSpace(r.GroupID) == "":
		return "GroupId can't be empty."
	case r.RackID != nil && strings.TrimSpace(*r.RackID) == "":
		return "RackId can't be empty."
	case r.MemberEpoch == 0 && len(r.SubscribedTopicNames) == 0:
		return "SubscribedTopicNames must be set in first request."
	case r.MemberEpoch < leaving:
		return "MemberEpoch is invalid."
	case len(r.MemberID) > maxShareMemberID || len(r.GroupID) > maxNameBytes || r.RackID != nil && len(*r.RackID) > maxNameBytes:
		return "A name is too long."
	}
	return ""
}

// ShareGroupDescribe describes share groups, in order.
func (s *Service) ShareGroupDescribe(ctx context.Context, who Caller, ids []string) []kmsg.ShareGroupDescribeResponseGroup {
	return scatter(s, who, ids, func(partition int32, keys []groupKey) []kmsg.ShareGroupDescribeResponseGroup {
		answer, err := s.runtime.Submit(ctx, partition, describeSharesRequest{keys})
		if err == nil {
			return answer.([]kmsg.ShareGroupDescribeResponseGroup)
		}
		described := make([]kmsg.ShareGroupDescribeResponseGroup, 0, len(keys))
		for _, key := range keys {
			g := kmsg.NewShareGroupDescribeResponseGroup()
			g.GroupID, g.ErrorCode = key.id, coordinator.Refusal(err).Code
			described = append(described, g)
		}
		return described
	})
}

// SharePartition is a partition of a share group that has a state.
type SharePartition struct {
	TopicID   TopicID
	Topic     string
	Partition int32
}

// SharePartitions names the partitions of a share group that have a state.
func (s *Service) SharePartitions(ctx context.Context, who Caller, id string) ([]SharePartition, *kerr.Error) {
	key := groupKey{who.Tenant, id}
	answer, err := s.ask(ctx, key, shareOffsetsRequest{key})
	if err != nil {
		return nil, err
	}
	told := answer.(shareOffsetsAnswer)
	return partitionsOf(told.topics), told.fault
}

func partitionsOf(topics map[TopicID]stateTopic) []SharePartition {
	var all []SharePartition
	for _, id := range sortedIDs(topics) {
		for _, p := range topics[id].partitions {
			all = append(all, SharePartition{id, topics[id].name, p})
		}
	}
	return all
}

// AlterShareGroupOffsets has a group without members begin elsewhere; the errors are in the order of the states.
func (s *Service) AlterShareGroupOffsets(ctx context.Context, who Caller, id string, states []ShareState) ([]error, *kerr.Error) {
	key := groupKey{who.Tenant, id}
	answer, err := s.ask(ctx, key, alterShareRequest{key, states})
	if err != nil {
		return nil, err
	}
	told := answer.(alterShareAnswer)
	if told.fault != nil || len(states) == 0 {
		return nil, told.fault
	}
	return s.initializeShares(ctx, key, told.states), nil
}

// DeleteShareGroupOffsets has a group without members forget topics; it tells which could not be forgotten.
func (s *Service) DeleteShareGroupOffsets(ctx context.Context, who Caller, id string, topics []TopicID) (faults map[TopicID]error, fault *kerr.Error) {
	key := groupKey{who.Tenant, id}
	answer, err := s.ask(ctx, key, forgetShareRequest{key: key, topics: topics})
	if err != nil {
		return nil, err
	}
	told := answer.(forgetShareAnswer)
	if told.fault != nil {
		return nil, told.fault
	}
	faults = s.deleteShares(ctx, key, told.topics)
	var done []TopicID
	for _, topic := range topics {
		if faults[topic] == nil {
			done = append(done, topic)
		}
	}
	if _, err := s.ask(ctx, key, forgetShareRequest{key: key, topics: done, done: true}); err != nil {
		return nil, err
	}
	return faults, nil
}

// deleteShares has share coordinators forget partitions.
func (s *Service) deleteShares(ctx context.Context, key groupKey, topics map[TopicID]stateTopic) map[TopicID]error {
	faults := map[TopicID]error{}
	if s.cfg.ShareStates == nil {
		return faults
	}
	var states []ShareState
	for _, p := range partitionsOf(topics) {
		states = append(states, ShareState{TopicID: p.TopicID, Topic: p.Topic, Partition: p.Partition})
	}
	for i, err := range s.cfg.ShareStates.DeleteShares(ctx, key.tenant, key.id, states) {
		if err != nil && err != kerr.UnknownTopicOrPartition {
			faults[states[i].TopicID] = err
		}
	}
	return faults
}

// deleteShareStates ends the states of those groups that are share groups without members; before they are deleted.
func (s *Service) deleteShareStates(ctx context.Context, who Caller, ids []string) {
	for _, id := range ids {
		all, fault := s.SharePartitions(ctx, who, id)
		if fault != nil || len(all) == 0 {
			continue
		}
		var topics []TopicID
		for _, p := range all {
			topics = append(topics, p.TopicID)
		}
		_, _ = s.DeleteShareGroupOffsets(ctx, who, id, topics) // what is left of them goes with their topics
	}
}
