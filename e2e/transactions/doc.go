// Package transactions holds exactly-once against real processes: what is copied from one topic to another in transactions
// is there once and in order, whoever is killed; what was aborted is never seen; and the anomalies that were found in other
// systems (Jepsen's reports of Redpanda and Bufstream, KAFKA-17754) stay away, with producers of transaction version 1, as
// librdkafka's are, and of version 2 (KIP-890). README.md lists them, each with its tests.
//
// The copiers are processes of their own, so that kill -9 takes their memory with them; they are this test program again,
// started with a specification in its environment. COPY_RECORDS says how many records are copied (default 12,000),
// TRANSACTIONS_ROUNDS how many transactions the regressions have (default 150).
//
// Everything that starts processes has the build tag e2e.
package transactions
