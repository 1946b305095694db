// Package controller decides: an image and a request in, an answer and the commands of the metadata log out. It is pure;
// the only things from outside are the resolver of settings and the source of topic ids, given to New.
//
//	register     fenced --heartbeat that has caught up--> unfenced --wants to stop--> in controlled shutdown --> may stop
//	                ^------- session over, process gone, may stop ------------------------/
//	partition    ISR --somebody leaves, too few are left--> ELR (has every committed record) --first to be back--> leads
//	                                                        last known leader, if the ELR is empty, too; else by request
//
// It owns what may be asked for and in which words it is refused: the rules and messages of Kafka's
// ReplicationControlManager, PartitionChangeBuilder, ConfigurationControlManager, ClusterControlManager, FeatureControlManager
// and ProducerIdControlManager; and what Kafka has not: draining and balancing brokers. It does not own how commands change
// an image (package command), who carries them there, nor anything of time: when a session is over is package metadata's.
//
// Invariants: the commands of a request apply to the image they were planned on; a part of a request that is refused
// leaves no commands; every error is a *Refusal. A leader is active and in the ISR; without a leader the ISR is empty. The
// ISR and the ELR are replicas and do not overlap. Who is in either has every committed record, or the partition recovers
// (RecoveryState) from an election that was asked for, by request or by its topic's settings.
//
// Where Kafka takes a replica that stopped uncleanly out of the ELR, ours stays: it confirms what is on its disk. It goes if
// the topic is write-cached, or if its log is gone (RegisterBroker, AssignDirectories). Three more things are stricter than there, found
// by the random histories: nobody stays eligible who is no replica any more, or beside an ISR that commits without them, and a
// cancelled reassignment does not leave a partition without anybody who has its records.
//
// KIP-500, KIP-599, KIP-631, KIP-455, KIP-704, KIP-841, KIP-903, KIP-966.
package controller
