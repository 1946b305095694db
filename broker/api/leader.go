package api

import (
	"slices"

	"github.com/millrace-io/millrace/broker/replica"
)

// KIP-951: an answer that says "not the leader" also says who is, and where.

// currentLeader returns who leads a partition according to the image; -1, -1 when that is not known.
func (s *session) currentLeader(t *replica.Topic, partition int32) (leader, epoch int32) {
	if topic := s.services.Metadata.Image().TopicByID(t.ID); topic != nil {
		if p := topic.Partition(partition); p != nil {
			return p.Leader, p.LeaderEpoch
		}
	}
	return -1, -1
}

// leaderTag appends a tagged field that holds a partition's leader and its epoch, and notes the leader for endpointsTag.
func (s *session) leaderTag(e *encoder, tag uint32, t *replica.Topic, partition int32) {
	leader, epoch := s.currentLeader(t, partition)
	if leader >= 0 && !slices.Contains(s.hinted, leader) {
		s.hinted = append(s.hinted, leader)
	}

	e.uvarint(tag)
	e.uvarint(4 + 4 + 1)
	e.int32(leader)
	e.int32(epoch)
	e.noTags()
}

// endpointsTag ends an answer: tagged field 0 has the addresses, on this listener, of the leaders that the answer names.
func (s *session) endpointsTag(e *encoder) {
	if len(s.hinted) == 0 {
		e.noTags()
		return
	}
	nested := encoder{flexible: true}
	nodes := slices.DeleteFunc(s.services.nodes(&s.call, s.services.Metadata.Image(), false), func(n node) bool {
		return !slices.Contains(s.hinted, n.ID)
	})
	s.hinted = s.hinted[:0]
	nested.array(len(nodes))
	for _, n := range nodes {
		nested.int32(n.ID)
		nested.text(n.host)
		nested.int32(n.port)
		nested.nullableText(n.Rack)
		nested.noTags()
	}
	e.uvarint(1)
	e.uvarint(0)
	e.uvarint(uint32(len(nested.b)))
	e.b = append(e.b, nested.b...)
}
