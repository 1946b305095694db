// Package join is what a node asks the others before it is a member of the metadata quorum, and when it starts: the bytes
// of the question and of the answer, and what follows from the answers.
//
//	question: who am I, what do I know, do I want to be admitted   ->   answer: who am I, what do I know, who are the members
//
// It decides, and does nothing: connections and the quorum are the caller's. broker/CLUSTER.md tells the whole story.
//
//	frame:    length int32 | version byte 1 | fields
//	question: kind byte | party | address | position
//	answer:   outcome byte | reason | party | address | position | leader int32 | members: count byte, each: vote byte, party, address | barred byte
//	party:    node id int32 | directory id 16 | cluster id
//	position: runs byte | last term uint64 | last index uint64
//
// Numbers are big-endian; text has its length before it, one byte. A frame is at most 64 KiB. A newer release may append
// fields, which an older one does not read.
//
// Invariants: a cluster is founded by one node only, the lowest of the initial voters, and only after all of them have
// said that they know none; a node whose disk was lost is another party and never founds what was founded already.
package join
