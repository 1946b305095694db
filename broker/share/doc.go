// Package share serves share groups (KIP-932) where the partitions are led: who holds which record, and for how long.
//
//	ShareFetch ------> Session --> partition --> delivery.Partition (pure)
//	ShareAcknowledge ->   |           |  `--> state.Client --> the share coordinator
//	connection ends --->  '           `-- reads the log of package replica; locks that are over; who waits for records
//
// It owns share sessions, the share partitions of the partitions that this broker leads, and those who wait for records. It
// does not own what becomes of a record (package delivery), keeping that (package state), members and assignments (package
// group), authorisation and the form of answers (package api).
//
// Invariants:
//   - a share partition lives in one leader epoch of its partition; a later leader fences its writes;
//   - it exists only while a session has it: what it knows is written, so that it can be made again;
//   - an acknowledgement is answered after it is written;
//   - at most one write of a share partition is under way, what is decided meanwhile goes into the next;
//   - a fetch that waits holds no records and no locks, and ends with its maximal wait or its connection.
//
// Kafka's counterparts: SharePartitionManager, SharePartition, ShareSession, DelayedShareFetch. KIPs: 932, 1206 (acquire
// mode), 1222 (renewal), 1226 (lag).
package share
