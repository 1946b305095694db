// Package segment is one segment of a log: its data file and its offset, time and transaction indexes.
//
// It owns the bytes of these files, the bounded set of open files (Files) and of loaded indexes (Indexes) that all
// segments of a log directory share. It does not own which segments a log has, when they roll, or what is durable:
// package log decides and calls.
//
//	.log        batch batch batch ...                           back to back
//	.index      (relative offset 4, position 4) ...             one entry per index.interval.bytes: the last offset of a
//	                                                            batch and where that batch begins
//	.timeindex  (timestamp 8, relative offset 4) ...            timestamps rise: no earlier batch has a later one
//	.txnindex   (version 2, producer 8, first 8, last 8, last stable offset 8) ...
//
// Invariants:
//   - one writer at a time (the log's mutex); readers need no lock of the caller;
//   - bytes below the published size never change while the segment is in its log;
//   - an index is a hint: whatever it says is checked against the batch header it points to.
package segment
