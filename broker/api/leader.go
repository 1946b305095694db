package api

import "github.com/millrace-io/millrace/broker/replica"

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

// leaderTag appends a tagged field that holds a leader's id and epoch.
func (e *encoder) leaderTag(tag uint32, leader, epoch int32) {
	e.uvarint(tag)
	e.uvarint(4 + 4 + 1)
	e.int32(leader)
	e.int32(epoch)
	e.noTags()
}

// endpointsTag appends the number of tagged fields and, as field 0, the addresses of all brokers on this listener.
func (s *session) endpointsTag(e *encoder, fields uint32) {
	nested := encoder{flexible: true}
	nodes := s.services.nodes(&s.call, s.services.Metadata.Image(), false)
	nested.array(len(nodes))
	for _, n := range nodes {
		nested.int32(n.ID)
		nested.text(n.host)
		nested.int32(n.port)
		nested.nullableText(n.Rack)
		nested.noTags()
	}
	e.uvarint(fields)
	e.uvarint(0)
	e.uvarint(uint32(len(nested.b)))
	e.b = append(e.b, nested.b...)
}
