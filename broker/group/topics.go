package group

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"iter"
	"slices"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// TopicID is a topic's id.
type TopicID = assignor.TopicID

// Topic is what groups need to know of a topic.
type Topic struct {
	ID         TopicID
	Tenant     string
	Name       string
	Partitions int32
	// Racks are those of a partition's replicas, in any order; it may be nil.
	Racks func(partition int32) []string
}

// Topics is an immutable view of the topics of a cluster. A later view has another version.
type Topics interface {
	Topic(tenant, name string) (Topic, bool)
	TopicByID(id TopicID) (Topic, bool)
	Names(tenant string) iter.Seq[string]
}

// noTopics is the view of a coordinator that was given none.
type noTopics struct{}

func (noTopics) Topic(string, string) (Topic, bool) { return Topic{}, false }
func (noTopics) TopicByID(TopicID) (Topic, bool)    { return Topic{}, false }
func (noTopics) Names(string) iter.Seq[string]      { return func(func(string) bool) {} }

// topicsChanged says that topics came, went, or have other partitions: groups that subscribe to them are assigned anew.
type topicsChanged struct {
	tenant string
	names  map[string]bool
}

// hashOf is the hash of the topics that a group subscribes to: when it changes, the group is assigned anew. Kafka writes
// XXH3 in its place; nothing but equality is ever asked of it, so that a Kafka which reads our log assigns once more.
// Names are sorted.
func hashOf(topics Topics, tenant string, names []string) uint64 {
	h := fnv.New64a()
	var scratch []byte
	known := 0
	for _, name := range names {
		t, ok := topics.Topic(tenant, name)
		if !ok {
			continue
		}
		known++
		scratch = append(scratch[:0], t.ID[:]...)
		scratch = append(scratch, name...)
		scratch = binary.BigEndian.AppendUint32(scratch, uint32(t.Partitions))
		h.Write(scratch)
		hashRacks(h, t)
	}
	if known == 0 {
		return 0
	}
	return h.Sum64()
}

func hashRacks(h interface{ Write([]byte) (int, error) }, t Topic) {
	if t.Racks == nil {
		return
	}
	var scratch []byte
	for p := range t.Partitions {
		racks := t.Racks(p)
		if len(racks) == 0 {
			continue
		}
		scratch = binary.BigEndian.AppendUint32(scratch[:0], uint32(p))
		racks = slices.SortedFunc(slices.Values(racks), cmp.Compare)
		for _, rack := range racks {
			scratch = append(append(scratch, rack...), 0)
		}
		h.Write(scratch)
	}
}
