package group

import (
	"bytes"
	"encoding/binary"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/coordinator/fields"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// streamsTopologyRecord is StreamsGroupTopology.
func streamsTopologyRecord(group groupKey, t *topology.Topology) coordinator.Record {
	return coordinator.Record{Key: consumerKey(streamsTopologyKey, group), Value: topologyValue(t)}
}

func topologyValue(t *topology.Topology) []byte {
	w := newValue()
	w.int32(t.Epoch)
	w.count(len(t.Subtopologies))
	for i := range t.Subtopologies {
		w.subtopology(&t.Subtopologies[i])
	}
	w.noTags()
	return w.b
}

// sameTopology compares what the log would hold.
func sameTopology(a, b *topology.Topology) bool {
	return bytes.Equal(topologyValue(a), topologyValue(b))
}

func (w *valueWriter) subtopology(s *topology.Subtopology) {
	w.string(s.ID)
	w.strings(s.Sources)
	w.strings(s.SourceRegexes)
	w.internalTopics(s.Changelogs)
	w.strings(s.RepartitionSinks)
	w.internalTopics(s.RepartitionSources)
	w.count(len(s.Copartitions))
	for _, c := range s.Copartitions {
		w.int16s(c.Sources)
		w.int16s(c.SourceRegexes)
		w.int16s(c.RepartitionSources)
		w.noTags()
	}
	w.noTags()
}

func (w *valueWriter) internalTopics(topics []topology.Topic) {
	w.count(len(topics))
	for _, t := range topics {
		w.string(t.Name)
		w.int32(t.Partitions)
		w.int16(t.ReplicationFactor)
		w.count(len(t.Configs))
		for _, c := range t.Configs {
			w.string(c.Name)
			w.string(c.Value)
			w.noTags()
		}
		w.noTags()
	}
}

func (w *valueWriter) int16(n int16) { w.b = binary.BigEndian.AppendUint16(w.b, uint16(n)) }

func (w *valueWriter) int16s(list []int16) {
	w.count(len(list))
	for _, n := range list {
		w.int16(n)
	}
}

func (w *valueWriter) strings(list []string) {
	w.count(len(list))
	for _, s := range list {
		w.string(s)
	}
}

func parseStreamsTopology(value []byte) (*topology.Topology, error) {
	const what = "StreamsGroupTopologyValue"
	r, err := flexibleValue(value, what)
	if err != nil {
		return nil, err
	}
	epoch := r.Int32()
	var all []topology.Subtopology
	for n := r.Count(8); n > 0 && r.Err == nil; n-- {
		all = append(all, readSubtopology(r))
	}
	r.Tags(nil)
	return topology.New(epoch, all), r.Done(what)
}

func readSubtopology(r *fields.Reader) (s topology.Subtopology) {
	s.ID, s.Sources, s.SourceRegexes = r.Text(), r.Texts(), r.Texts()
	s.Changelogs, s.RepartitionSinks, s.RepartitionSources = readInternalTopics(r), r.Texts(), readInternalTopics(r)
	for n := r.Count(4); n > 0 && r.Err == nil; n-- {
		s.Copartitions = append(s.Copartitions, topology.Copartition{Sources: readInt16s(r), SourceRegexes: readInt16s(r), RepartitionSources: readInt16s(r)})
		r.Tags(nil)
	}
	r.Tags(nil)
	return s
}

func readInternalTopics(r *fields.Reader) (topics []topology.Topic) {
	for n := r.Count(9); n > 0 && r.Err == nil; n-- {
		t := topology.Topic{Name: r.Text(), Partitions: r.Int32(), ReplicationFactor: r.Int16()}
		for n := r.Count(3); n > 0 && r.Err == nil; n-- {
			t.Configs = append(t.Configs, topology.Config{Name: r.Text(), Value: r.Text()})
			r.Tags(nil)
		}
		topics = append(topics, t)
		r.Tags(nil)
	}
	return topics
}

func readInt16s(r *fields.Reader) (list []int16) {
	for n := r.Count(2); n > 0 && r.Err == nil; n-- {
		list = append(list, r.Int16())
	}
	return list
}

// topologyOf is the topology that a member sent.
func topologyOf(sent *kmsg.StreamsGroupHeartbeatRequestTopology) *topology.Topology {
	all := make([]topology.Subtopology, 0, len(sent.Subtopologies))
	for _, s := range sent.Subtopologies {
		sub := topology.Subtopology{
			ID: s.SubtopologyID, Sources: s.SourceTopics, SourceRegexes: s.SourceTopicRegex, RepartitionSinks: s.RepartitionSinkTopics,
			Changelogs: internalTopicsOf(s.StateChangelogTopics), RepartitionSources: internalTopicsOf(s.RepartitionSourceTopics),
		}
		for _, c := range s.CopartitionGroups {
			sub.Copartitions = append(sub.Copartitions, topology.Copartition{
				Sources: c.SourceTopics, SourceRegexes: c.SourceTopicRegex, RepartitionSources: c.RepartitionSourceTopics})
		}
		all = append(all, sub)
	}
	return topology.New(sent.Epoch, all)
}

func internalTopicsOf(sent []kmsg.TopicInfo) []topology.Topic {
	topics := make([]topology.Topic, 0, len(sent))
	for _, s := range sent {
		t := topology.Topic{Name: s.Topic, Partitions: s.NumPartitions, ReplicationFactor: s.ReplicationFactor}
		for _, c := range s.Configs {
			t.Configs = append(t.Configs, topology.Config{Name: c.Key, Value: c.Value})
		}
		topics = append(topics, t)
	}
	return topics
}
