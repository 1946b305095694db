// Package fields reads and writes the fields of records in Kafka's encoding, as the internal topics hold them.
//
// It owns the encoding of single fields, in flexible versions and in the older ones. It does not own which fields a record has:
// those are the packages of the coordinators.
//
// Invariant: nothing is allocated by a number in the input that is larger than what is left of the input.
package fields
