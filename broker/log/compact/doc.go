// Package compact is the cleaner: it rewrites the older part of compacted logs so that of each key only the last value
// stays. It decides which records stay; the swap of files, and its recovery, is package log's.
//
//	| compacted before      | dirty                          | not yet cleanable | active |
//	^ log start offset      ^ first dirty offset             ^ end of Cleanable
//	                        |--- key -> last offset ---|     (memory for keys is bounded: a round may end earlier)
//	|------------- rewritten ---------------------------|
//
// A tombstone (null value) stays for delete.retention.ms after the first round that saw it, so that readers learn of it:
// the round writes the time into the batch as its delete horizon (KIP-534). Records of aborted transactions go at once;
// a transaction's end marker goes after the horizon, once no record of the transaction is left. The last batch of every
// live producer stays, and its last committed one, be they empty, because they hold the producer's sequence. DESIGN.md has the
// rules, costs and metrics.
//
// Invariants:
//   - offsets and order never change; a record that is the last of its key in the log is never dropped;
//   - records at or behind the end of the key map are kept;
//   - the output is durable before it takes the place of the input, and a crash at any point leaves one of the two.
package compact
