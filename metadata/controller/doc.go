// Package controller decides: an image and a request in, an answer and the commands of the metadata log out. It is pure;
// the only things from outside are the resolver of settings and the source of topic ids, given to New.
//
// It owns what may be asked for and in which words it is refused: the rules and messages of Kafka's
// ReplicationControlManager, ConfigurationControlManager, ClusterControlManager and ProducerIdControlManager. It does not
// own how commands change an image (package command) nor who carries them there (package metadata).
//
// Invariants: the commands of a request apply to the image they were planned on; a part of a request that is refused
// leaves no commands; every error is a *Refusal. KIP-500, KIP-599, KIP-631.
package controller
