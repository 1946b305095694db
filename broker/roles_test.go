package broker

import (
	"testing"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

func TestRolesWaitForTheRegistrationOfThisStart(t *testing.T) {
	b := &Broker{cfg: Config{NodeID: 1}, incarnation: [16]byte{2}}
	topic := image.NewTopic(image.TopicID{9}, "default", "orders", false, nil, []*image.Partition{{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}})
	entries := []command.Group{
		{command.RegisterBroker{Broker: &image.Broker{ID: 1, Incarnation: [16]byte{1}}}, command.CreateTopic{Topic: topic}}, // an earlier start
		{command.RegisterBroker{Broker: &image.Broker{ID: 2, Incarnation: [16]byte{2}}}},                                    // another broker
		{command.RegisterBroker{Broker: &image.Broker{ID: 1, Incarnation: [16]byte{2}}}},
		{command.RegisterBroker{Broker: &image.Broker{ID: 3, Incarnation: [16]byte{3}}}},
	}
	var seen []*image.Delta
	follow := b.afterRegistration(func(d *image.Delta) { seen = append(seen, d) })
	img := image.Empty()
	for i, entry := range entries {
		changes := image.NewChanges()
		next, refused := command.Apply(img, uint64(i+1), []command.Group{entry}, changes)
		if refused[0] != nil {
			t.Fatal(refused[0])
		}
		follow(changes.Delta(img, next))
		img = next
	}
	if len(seen) != 2 {
		t.Fatalf("%d deltas were handed on, want that of the registration and the one after it", len(seen))
	}
	if first := seen[0]; first.To.Index() != 3 || len(first.Topics) != 1 || first.Topics[0].Before != nil || len(first.Brokers) != 2 {
		t.Errorf("the first delta does not deliver everything: index %d, %+v, brokers %v", first.To.Index(), first.Topics, first.Brokers)
	}
	if second := seen[1]; second.To.Index() != 4 || len(second.Topics) != 0 || len(second.Brokers) != 1 {
		t.Errorf("the second delta is not the change: index %d, %+v", second.To.Index(), second)
	}
}
