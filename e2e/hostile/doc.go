// Package hostile throws at a real broker what no client should send: garbage, impossible lengths, counts that the bytes
// cannot hold, compressed batches that unpack to gigabytes, senders that never finish, connections by the thousand,
// requests whose answers nobody reads.
//
// Each attack runs beside a neighbour, a well-behaved client that produces and consumes all the time, and under a bound
// on the broker's anonymous memory (RssAnon), sampled while it lasts. Afterwards the process must be alive, its log must
// name the peer where the bytes were no Kafka, and it must hold no panic.
//
// All of it carries the build tag e2e. One case:
//
//	go test -tags e2e -count=1 -v -run 'TestDecompressionBombs/zstd' ./e2e/hostile
//
// MILLRACE_E2E_LOGS=DIR keeps the broker's log.
package hostile
