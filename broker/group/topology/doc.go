// Package topology is what a Streams application (KIP-1071) says of itself: the subtopologies that it is made of, and the
// topics that each reads, writes and keeps its state in.
//
//	what a member sent --> Topology --Check--> Topology --Configure(partition counts of topics that exist)--> Configured
//	                                                                     tasks, topics to be created, or what is in the way
//
// It owns: how many partitions internal topics must have, how many tasks a subtopology has, and which topics have to be the
// same. It does not own: which topics exist (whoever calls), creating them (package api), records (package group).
// Everything here is pure, and the same input gives the same output.
//
// Invariants:
//   - a topology that is ready has every topic that it needs, with the right number of partitions;
//   - a topology of outside is checked before it is kept: no index points outside of its list, and its size has a bound.
//
// Kafka's counterparts: StreamsTopology, InternalTopicManager, RepartitionTopics, CopartitionedTopicsEnforcer, ChangelogTopics.
package topology
