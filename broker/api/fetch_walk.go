package api

import (
	"encoding/binary"

	"github.com/millrace-io/millrace/metadata/image"
)

// fetchRequest is a Fetch request read in place: what it names aliases the frame.
type fetchRequest struct {
	ReplicaID     int32
	ReplicaEpoch  int64 // of the replica's broker
	MaxWaitMillis int32
	MinBytes      int32
	MaxBytes      int32
	Isolation     int8
	SessionID     int32
	SessionEpoch  int32
	Topics        []fetchTopic
	Partitions    []fetchPartition // of all topics, in order
	Forgotten     []forgottenTopic
	ForgottenIDs  []int32 // partition numbers of all forgotten topics, in order
	Rack          []byte
}

type fetchTopic struct {
	Name       []byte        // up to version 12
	ID         image.TopicID // from version 13 on
	Partitions int           // how many of the next partitions are this topic's
}

type forgottenTopic struct {
	Name       []byte
	ID         image.TopicID
	Partitions int
}

type fetchPartition struct {
	Index              int32
	CurrentLeaderEpoch int32
	FetchOffset        int64
	LastFetchedEpoch   int32
	LogStartOffset     int64 // of a follower
	MaxBytes           int32
}

const readCommitted = 1

// walk reads a request, keeping the storage of r. It reports whether the frame is well formed.
func (r *fetchRequest) walk(body []byte, version int16) bool {
	c := cursor{p: body, flexible: version >= 12}
	*r = fetchRequest{ReplicaID: -1, ReplicaEpoch: -1, MaxBytes: 1<<31 - 1, SessionEpoch: -1, Topics: r.Topics[:0], Partitions: r.Partitions[:0],
		Forgotten: r.Forgotten[:0], ForgottenIDs: r.ForgottenIDs[:0]}
	if version <= 14 {
		r.ReplicaID = c.int32()
	}
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.Isolation = c.int32(), c.int32(), c.int32(), c.int8()
	if version >= 7 {
		r.SessionID, r.SessionEpoch = c.int32(), c.int32()
	}
	for range c.array() {
		if !r.walkTopic(&c, version) {
			return false
		}
	}
	if version >= 7 {
		for range c.array() {
			if !r.walkForgotten(&c, version) {
				return false
			}
		}
	}
	if version >= 11 {
		r.Rack = c.string()
	}
	c.tagged(func(tag uint32, value []byte) {
		if tag == 1 && version >= 15 && len(value) >= 4 { // replica state
			r.ReplicaID = int32(binary.BigEndian.Uint32(value))
			if len(value) >= 12 {
				r.ReplicaEpoch = int64(binary.BigEndian.Uint64(value[4:]))
			}
		}
	})
	return !c.bad
}

func (r *fetchRequest) walkTopic(c *cursor, version int16) bool {
	var t fetchTopic
	if version >= 13 {
		t.ID = c.uuid()
	} else {
		t.Name = c.string()
	}
	t.Partitions = c.array()
	for range t.Partitions {
		p := fetchPartition{Index: c.int32(), CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1}
		if version >= 9 {
			p.CurrentLeaderEpoch = c.int32()
		}
		p.FetchOffset = c.int64()
		if version >= 12 {
			p.LastFetchedEpoch = c.int32()
		}
		if version >= 5 {
			p.LogStartOffset = c.int64()
		}
		p.MaxBytes = c.int32()
		c.tags()
		if c.bad {
			return false
		}
		r.Partitions = append(r.Partitions, p)
	}
	c.tags()
	r.Topics = append(r.Topics, t)
	return !c.bad
}

func (r *fetchRequest) walkForgotten(c *cursor, version int16) bool {
	var t forgottenTopic
	if version >= 13 {
		t.ID = c.uuid()
	} else {
		t.Name = c.string()
	}
	t.Partitions = c.array()
	for range t.Partitions {
		r.ForgottenIDs = append(r.ForgottenIDs, c.int32())
		if c.bad {
			return false
		}
	}
	c.tags()
	r.Forgotten = append(r.Forgotten, t)
	return !c.bad
}
