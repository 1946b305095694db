// Package api answers Kafka requests: one file per API, and table.go with all of them.
//
// It owns the wire form of requests and answers, the checks that need no state (versions, access, sizes), Kafka's error
// codes and words, and the sessions of connections: what was staged, incremental fetch sessions. It does not own what
// requests ask for: topics and settings are changed by metadata, records are kept by replica, groups are led by group.
//
//	server.Session -> Handle -> row of the table, admitted by its access rule
//	                         -> Produce, Fetch: walked in place (produce.go, fetch.go)
//	                         -> others: decoded by kmsg -> the row's handler -> encoded by kmsg
//
// Consecutive Produce requests of one connection are staged and settled together: one append per partition, one wait, and
// the answers in the order of the requests.
//
// Invariants: an API without a row, and a row without an access rule, is denied; a handler sees only versions that its
// row names; answers of a connection are in the order of its requests; what a request may take in memory is bounded by
// its row's estimate before it is decoded; a handler reads one image of the metadata for one answer, or says why not;
// every refusal is an error code of the protocol, with Kafka's words where the answer has room for words.
//
// Kafka: kafka.server.KafkaApis and ControllerApis. Each file is headed by its API's key, versions, Kafka class and
// deviations; DESIGN.md has the forms of headers, the traps and the reasons of the deviations. KIP-511 (ApiVersions), KIP-516
// (topic ids), KIP-430 (authorised operations), KIP-966 (DescribeTopicPartitions), KIP-1242 (misrouted connections).
package api
