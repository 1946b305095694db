// Package group is the group coordinator: the classic group protocol (members, generations, assignments) for consumers,
// Connect and whatever else speaks it, the consumer protocol of KIP-848 with assignments by the broker, share groups,
// streams groups (KIP-1071), and the offsets that groups commit.
//
// It owns: what each request of the group APIs means, and the records of __consumer_offsets (DESIGN.md has the bytes).
// It does not own: the log, the loop and the waiting (package coordinator), authorisation and which topics exist
// (package api), creating __consumer_offsets (package api), adapters to the broker (package broker).
//
//	Service (blocks, one method per API) --> coordinator.Runtime --> shard.Step --> records, replies
//	                                                              `-> shard.Replay <-- records, live and at load
//
// A shard is pure: requests, the clock and even new member ids come in from outside. Of a group, two things are in the
// log and change in Replay only: its committed offsets, and the last generation that got its assignment. The rest
// (who waits, who is pending, sessions) is gone when the coordinator moves, as in Kafka: clients join again.
//
// Invariants:
//   - the state that a new coordinator reads is the state that the old one answered from;
//   - every request gets exactly one answer: at once, from its member, or when its records are committed or refused;
//   - a group is Stable only after its assignment is committed; nobody gets an assignment before;
//   - an offset of a transaction is told to nobody before the transaction is committed;
//   - a task of a streams group is in the hands of one process at a time;
//   - a partition is in the hands of one member of a consumer group at a time: it is given on when it was given up;
//   - a heartbeat of a classic group never writes, one of a consumer group only when it changes something.
//
// Kafka's counterparts: GroupCoordinatorService, GroupMetadataManager, ClassicGroup, ConsumerGroup, CurrentAssignmentBuilder,
// TargetAssignmentBuilder, StreamsGroup, OffsetMetadataManager. KIPs: 848 and 1251 (the consumer protocol), 1071, 62
// (sessions), 134 (initial delay), 211 (expiry), 345 (static members), 389 (size limit), 394 (member id first), 496
// (OffsetDelete), 447 (stable offsets), 518 (states), 559 (protocol in answers), 709 (batched fetch), 814 (skip assignment).
package group
