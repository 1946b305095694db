package group

import (
	"iter"
	"maps"
)

// testTopics are the topics of a test, by name; the id of one is its name.
type testTopics map[string]int32

func testTopicID(name string) (id TopicID) {
	copy(id[:], name)
	return id
}

func (t testTopics) Topic(_, name string) (Topic, bool) {
	n, ok := t[name]
	return Topic{ID: testTopicID(name), Tenant: defaultTenant, Name: name, Partitions: n}, ok
}

func (t testTopics) TopicByID(id TopicID) (Topic, bool) {
	for name := range t {
		if testTopicID(name) == id {
			return t.Topic("", name)
		}
	}
	return Topic{}, false
}

func (t testTopics) Names(string) iter.Seq[string] { return maps.Keys(t) }
