// Package producer is what a log knows of its idempotent and transactional producers: the last sequences of each, open
// transactions, the first unstable offset. It is pure: no file, no clock, no lock. The log that owns a Table feeds it
// every batch that carries a producer id, in offset order, when appending as when recovering.
//
//	         data batch                     end marker
//	(none) ------------> transaction open ------------> completed, waits for the high watermark ---> gone
//	          ^                first offset is unstable         first offset is still unstable
//	          '-- a new epoch clears the remembered batches
//
// Where a transaction begins, the coordinator is asked first (verification.go): BeginVerification notes the question, and
// only a batch with its guard may open the transaction. A marker makes the guard void.
//
// The rules are those of Kafka's ProducerAppendInfo and ProducerStateManager (KIP-98, KIP-360, KIP-890).
//
// Invariants:
//   - a State remembers at most BatchesKept batches, all of its Epoch, in the order of their offsets;
//   - a producer has at most one open transaction, and then TxnFirstOffset is in Table.ongoing;
//   - Append followed by Undo leaves the Table as it was.
package producer
