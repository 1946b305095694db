// Package config is the catalogue of settings: every key of topics, brokers and groups that Kafka 4.3 knows, and our own,
// with type, default, validator, way of changing and a sentence of documentation; and the resolver that finds the value
// that applies.
//
//	set on topic or group > dynamic, this broker > dynamic, all brokers > static > Kafka's default
//
// It owns names, values and precedence. It does not own where overrides are kept (package image) nor who may change them
// (package controller). It is pure and, its catalogues made once, without state.
//
// Invariants: a value that Check accepts can be read by every release to come; an effective value never is what its
// definition refuses. Messages are Kafka's (ConfigDef, LogConfig, DynamicBrokerConfig, GroupConfig). KIP-226, KIP-339,
// KIP-1142.
//
// Our own keys: write.caching and validate.records of a topic, and write.caching.default and validate.records.default of a
// broker, which stand in for them; millrace.drain of a broker, millrace.balance.* and millrace.scrub.* of the cluster. Our own defaults:
// broker.heartbeat.interval.ms and broker.session.timeout.ms.
package config
