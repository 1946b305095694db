// Package image holds the cluster's metadata as an immutable value: topics and partitions, brokers, settings, producer
// ids, finalized features. It is pure: no I/O, no goroutine, no clock.
//
//	Image --Edit(index)--> Edit --Done()--> Image'
//	                         \--> Changes --Delta(Image, Image')--> what subscribers see
//
// It owns the value, its changes and its bytes in a snapshot. It does not own the records of the metadata log (package
// command) nor the rules of what may be asked for (package controller).
//
// Invariants: an Image and everything reachable from it never changes; a change shares with its predecessor all that it
// did not touch, so it costs what changed; an Edit that fails leaves no trace; equal images have equal snapshots. Names
// are keyed by (tenant, name), ids are unique over all tenants. A partition epoch grows by one with each change of the
// partition and a leader epoch never falls. The model is Kafka's MetadataImage and MetadataDelta (KIP-500).
package image
