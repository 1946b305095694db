// Package bench runs the same loads against Apache Kafka and Millrace, in turns, on this machine.
//
// One generator, which replays encoded requests over raw sockets and so costs little itself, drives both; both have the
// same durability in a row (Kafka's default, or fsync before the ack on both). What it prints per row: the median of
// each side, the ratio, and CPU seconds per GB of the broker's process, which is the figure to read first: rates on a
// shared machine move by a quarter from run to run, CPU by a tenth. Nothing here asserts a time.
//
//	go test -tags e2e -count=1 -v -timeout 2h ./e2e/bench -rows produce64k,fetch1m -rounds 3
//
// The limit line that it prints beside some rows is what a prototype of the bare path reached on a machine like ours:
// socket read, CRC, write to the page cache, ack.
package bench
