// Package assignor divides the partitions of topics among the members of a group: the server-side assignors of KIP-848; and the
// tasks of a Streams application among the members of its group (KIP-1071).
//
//	members with subscriptions and what they were meant to have, topics with partition counts --> Uniform or Range --> targets
//
// It owns: who gets which partition. It does not own: who the members are, when an assignment is made, how members move
// towards it (package group). Everything here is pure, and the same input gives the same output.
//
// Invariants:
//   - every partition of a topic that somebody subscribes to is given to exactly one of its subscribers;
//   - nobody gets a partition of a topic that it does not subscribe to;
//   - every task is active at one member, and no process has a task twice;
//   - what is handed in is not changed, and may be handed out again.
//
// Kafka's counterparts: UniformAssignor, UniformHomogeneousAssignmentBuilder, UniformHeterogeneousAssignmentBuilder,
// RangeAssignor, StickyTaskAssignor.
package assignor
