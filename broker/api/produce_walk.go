package api

import "github.com/millrace-io/millrace/metadata/image"

// produceRequest is a Produce request read in place: what it names aliases the frame.
type produceRequest struct {
	TransactionalID []byte // nil: null
	Acks            int16
	TimeoutMillis   int32
	Topics          []produceTopic
	Partitions      []producePartition // of all topics, in order
}

type produceTopic struct {
	Name       []byte        // up to version 12
	ID         image.TopicID // from version 13 on
	Partitions int           // how many of the next partitions are this topic's
}

type producePartition struct {
	Index   int32
	Records []byte // nil: null
}

// walk reads a request, keeping the storage of r. It reports whether the frame is well formed.
func (r *produceRequest) walk(body []byte, version int16) bool {
	c := cursor{p: body, flexible: version >= 9}
	r.Topics, r.Partitions = r.Topics[:0], r.Partitions[:0]
	r.TransactionalID = c.string()
	r.Acks = c.int16()
	r.TimeoutMillis = c.int32()
	for range c.array() {
		var t produceTopic
		if version >= 13 {
			t.ID = c.uuid()
		} else {
			t.Name = c.string()
		}
		t.Partitions = c.array()
		for range t.Partitions {
			p := producePartition{Index: c.int32(), Records: c.bytes()}
			c.tags()
			if c.bad {
				return false
			}
			r.Partitions = append(r.Partitions, p)
		}
		c.tags()
		if c.bad {
			return false
		}
		r.Topics = append(r.Topics, t)
	}
	c.tags()
	return !c.bad
}
