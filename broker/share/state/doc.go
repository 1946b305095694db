// Package state is the share coordinator (KIP-932): it keeps where each share group is on each partition, in
// __share_group_state, for the leaders of those partitions.
//
//	leader of a partition --> Client --> Service of the coordinator --> coordinator.Runtime --> shard
//	                                                                     __share_group_state <--'
//
// It owns the records of __share_group_state (DESIGN.md has the bytes), which broker coordinates which share partition, and
// asking it. It does not own what the states mean (package delivery), who may ask (package api) or which members a group
// has (package group).
//
// Invariants:
//   - a state that was answered as written is read by every later leader;
//   - a leader that was replaced cannot write any more: leader epochs and state epochs never go back;
//   - what a later write says of an offset replaces what an earlier one said.
//
// Kafka's counterparts: ShareCoordinatorService, ShareCoordinatorShard, ShareGroupOffset, DefaultStatePersister.
package state
