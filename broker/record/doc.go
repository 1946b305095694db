// Package record reads, checks and writes Kafka record batches, format v2, the only one since Kafka 4.0.
//
// It owns the bytes of a batch: views over them (Batch), cutting a stream into batches (Split), what the broker
// refuses or changes before an append (Validator), iteration over records (Batch.Records), making batches (Builder)
// and the four codecs (Codecs). It does not own offsets, producers' sequences, leader epochs or files: package log
// does. It imports nothing of ours and keeps no state outside the values that its callers make.
//
//	baseOffset batchLength leaderEpoch magic crc | attributes ... count | records (compressed as attributes say)
//	`------------ outside the CRC ------------'   `------------ under the CRC, 40 bytes header ------------'
//
// Invariants:
//   - A Batch is whole: its length field agrees with len(b). Split and Builder make no others.
//   - Bytes from outside never panic and never make us allocate what a number in them asks for.
//   - A batch is decompressed only where a rule needs its records, and never to more than the bound passed in.
//   - Check on an uncompressed batch allocates nothing.
//
// KIP-98 (format v2), KIP-110 (zstd), KIP-390 (levels), KIP-467 (record errors), KIP-937 (timestamp bounds).
// DESIGN.md has the byte tables.
package record
