package api

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Messages name topics in the order of the request, as Kafka's do.
func TestTopicsOfATopologyAreNamedInTheOrderInWhichTheyCome(t *testing.T) {
	sent := &kmsg.StreamsGroupHeartbeatRequestTopology{Subtopologies: []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{
		{SourceTopics: []string{"orders", "a b"}, RepartitionSinkTopics: []string{"words"}},
		{RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "words"}}, StateChangelogTopics: []kmsg.TopicInfo{{Topic: ".."}}, SourceTopics: []string{"orders"}},
	}}
	names := topologyTopics(sent)
	if want := []string{"orders", "a b", "words", ".."}; !slices.Equal(names, want) {
		t.Errorf("the topics are %q, want %q", names, want)
	}
	wrong := picked(names, func(name string) bool { return !validTopicName(name) })
	if want := []string{"a b", ".."}; !slices.Equal(wrong, want) {
		t.Errorf("those with wrong names are %q, want %q", wrong, want)
	}
}
