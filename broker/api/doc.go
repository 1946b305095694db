// Package api answers Kafka requests: one file per API, and table.go with all of them.
//
// It owns the wire form of requests and answers, the checks that need no state (versions, access, sizes), and the
// sessions of connections: what was staged, incremental fetch sessions. What requests ask for is done by the services
// that it is given.
//
//	server.Session -> Handle -> Produce, Fetch: walked in place (produce.go, fetch.go)
//	                         -> others: decoded by kmsg -> handler of the table's row -> encoded by kmsg
//
// Consecutive Produce requests of one connection are staged and settled together: one append per partition, one wait, and
// the answers in the order of the requests.
//
// Kafka: kafka.server.KafkaApis. Each file is headed by its API's key, versions, Kafka class and deviations.
package api
