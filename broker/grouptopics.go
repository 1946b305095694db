package broker

import (
	"iter"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// groupTopics is what the group coordinator sees of topics: an image.
type groupTopics struct{ image *image.Image }

func (v groupTopics) Topic(tenant, name string) (group.Topic, bool) {
	return v.view(v.image.Topic(tenant, name))
}

func (v groupTopics) TopicByID(id group.TopicID) (group.Topic, bool) {
	return v.view(v.image.TopicByID(id))
}

func (v groupTopics) Names(tenant string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for t := range v.image.Topics(tenant) {
			if !yield(t.Name) {
				return
			}
		}
	}
}

func (v groupTopics) view(t *image.Topic) (group.Topic, bool) {
	if t == nil {
		return group.Topic{}, false
	}
	return group.Topic{
		ID: t.ID, Tenant: t.Tenant, Name: t.Name, Partitions: int32(t.PartitionCount()),
		Racks: func(partition int32) []string { return v.racks(t.Partition(partition)) },
	}, true
}

func (v groupTopics) racks(p *image.Partition) []string {
	var racks []string
	for _, id := range p.Replicas {
		if b := v.image.Broker(id); b != nil && b.Rack != "" {
			racks = append(racks, b.Rack)
		}
	}
	return racks
}

// tellOfTopics has groups assigned anew whose topics came, went, or have other partitions.
func (b *Broker) tellOfTopics(delta *image.Delta) {
	changed := make(map[string]map[string]bool)
	for _, change := range delta.Topics {
		t := change.After
		if t == nil {
			t = change.Before
		}
		if change.Before != nil && change.After != nil && change.Before.ID == change.After.ID &&
			change.Before.PartitionCount() == change.After.PartitionCount() || t.Tenant == security.DefaultTenant && t.Name == offsetsTopic {
			continue
		}
		if changed[t.Tenant] == nil {
			changed[t.Tenant] = make(map[string]bool)
		}
		changed[t.Tenant][t.Name] = true
	}
	for tenant, names := range changed {
		b.groups.OnTopicsChanged(tenant, names)
	}
}
