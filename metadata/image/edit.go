package image

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"github.com/millrace-io/millrace/metadata/config"
)

// ErrNotApplicable is what every edit that does not fit the image returns; the image stays as it was.
var ErrNotApplicable = errors.New("not applicable")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrNotApplicable}, args...)...)
}

// Edit is a change of an image in the making. It is used by one goroutine and thrown away when a step of it fails.
type Edit struct {
	base    *Image
	next    Image
	topics  *iradix.Txn[*Topic]
	ids     *iradix.Txn[*Topic]
	unified *iradix.Txn[string]
	brokers *iradix.Txn[*Broker]
	configs *iradix.Txn[map[string]string]
	changes *Changes
}

// Edit begins a change that becomes the entry of the log at index.
func (i *Image) Edit(index uint64) *Edit {
	e := &Edit{
		base: i, next: *i, topics: i.topics.Txn(), ids: i.ids.Txn(), unified: i.unified.Txn(), brokers: i.brokers.Txn(), configs: i.configs.Txn(),
		changes: NewChanges(),
	}
	e.next.index = index
	return e
}

// Index returns the index of the log entry that this edit becomes.
func (e *Edit) Index() uint64 { return e.next.index }

// Done returns the new image and what is different in it. The edit must not be used afterwards.
func (e *Edit) Done() (*Image, *Changes) {
	e.next.topics, e.next.ids = e.topics.Commit(), e.ids.Commit()
	e.next.unified = e.unified.Commit()
	e.next.brokers, e.next.configs = e.brokers.Commit(), e.configs.Commit()
	next := e.next
	return &next, e.changes
}

// SetClusterID names the cluster, once for ever.
func (e *Edit) SetClusterID(id string) error {
	if e.next.clusterID != "" || id == "" {
		return refuse("the cluster has the id %q already, %q is refused", e.next.clusterID, id)
	}
	e.next.clusterID = id
	return nil
}

// CreateTopic adds a topic with its partitions.
func (e *Edit) CreateTopic(t *Topic) error {
	key := appendTopicKey(nil, t.Tenant, t.Name)
	if t.ID.IsZero() || t.Name == "" || t.PartitionCount() == 0 {
		return refuse("topic %q has no id, name or partitions", t.Name)
	}
	if _, exists := e.topics.Get(key); exists {
		return refuse("topic %q exists", t.Name)
	}
	if _, exists := e.ids.Get(t.ID[:]); exists {
		return refuse("topic id %s exists", t.ID)
	}
	e.putTopic(nil, t)
	if strings.ContainsAny(t.Name, "._") {
		e.unified.Insert(unifiedKey(t.Tenant, t.Name), t.Name)
	}
	e.next.partitionCount += t.PartitionCount()
	e.changes.allPartitions(nil, t)
	return nil
}

// DeleteTopic removes a topic.
func (e *Edit) DeleteTopic(id TopicID) error {
	t, ok := e.ids.Get(id[:])
	if !ok {
		return refuse("no topic has the id %s", id)
	}
	e.ids.Delete(id[:])
	e.topics.Delete(appendTopicKey(nil, t.Tenant, t.Name))
	if strings.ContainsAny(t.Name, "._") {
		e.unified.Delete(unifiedKey(t.Tenant, t.Name))
	}
	e.next.partitionCount -= t.PartitionCount()
	e.changes.allPartitions(t, nil)
	return nil
}

// AddPartitions gives a topic more partitions; first is the number of the first new one.
func (e *Edit) AddPartitions(id TopicID, first int32, parts []*Partition) error {
	t, ok := e.ids.Get(id[:])
	if !ok {
		return refuse("no topic has the id %s", id)
	}
	if int(first) != t.PartitionCount() || len(parts) == 0 {
		return refuse("topic %q has %d partitions, more cannot begin at %d", t.Name, t.PartitionCount(), first)
	}
	after := *t
	after.partitions = t.partitions.with(parts)
	e.putTopic(t, &after)
	e.next.partitionCount += len(parts)
	for i := range parts {
		e.changes.partition(id, first+int32(i))
	}
	return nil
}

// ChangePartitions puts new states of partitions in place of the old ones.
func (e *Edit) ChangePartitions(id TopicID, changes map[int32]*Partition) error {
	t, ok := e.ids.Get(id[:])
	if !ok {
		return refuse("no topic has the id %s", id)
	}
	for i, p := range changes {
		before := t.Partition(i)
		if before == nil {
			return refuse("topic %q has no partition %d", t.Name, i)
		}
		if p.PartitionEpoch != before.PartitionEpoch+1 || p.LeaderEpoch < before.LeaderEpoch {
			return refuse("partition %s-%d is at epoch %d, leader epoch %d; a change to %d, %d does not follow", t.Name, i,
				before.PartitionEpoch, before.LeaderEpoch, p.PartitionEpoch, p.LeaderEpoch)
		}
	}
	after := *t
	after.partitions = t.partitions.replaced(changes)
	e.putTopic(t, &after)
	for i := range changes {
		e.changes.partition(id, i)
	}
	return nil
}

// Partition returns the state of a partition as it is within the edit, nil when there is none.
func (e *Edit) Partition(id TopicID, partition int32) *Partition {
	t, ok := e.ids.Get(id[:])
	if !ok {
		return nil
	}
	return t.Partition(partition)
}

func (e *Edit) putTopic(before, after *Topic) {
	e.topics.Insert(appendTopicKey(nil, after.Tenant, after.Name), after)
	e.ids.Insert(after.ID[:], after)
	e.changes.topic(after.ID, before, after)
}

// SetConfig sets and unsets overrides of one resource; a nil value unsets.
func (e *Edit) SetConfig(r config.Resource, values map[string]*string) error {
	if r.Type == config.TopicResource {
		t, ok := e.topics.Get(appendTopicKey(nil, r.TenantOrDefault(), r.Name))
		if !ok {
			return refuse("no topic is named %q", r.Name)
		}
		after := *t
		after.Config = overridden(t.Config, values)
		e.putTopic(t, &after)
		e.changes.config(r)
		return nil
	}
	key := configKey(r)
	before, _ := e.configs.Get(key)
	if after := overridden(before, values); len(after) == 0 {
		e.configs.Delete(key)
	} else {
		e.configs.Insert(key, after)
	}
	e.changes.config(r)
	return nil
}

func overridden(before map[string]string, values map[string]*string) map[string]string {
	after := maps.Clone(before)
	if after == nil {
		after = make(map[string]string, len(values))
	}
	for name, value := range values {
		if value == nil {
			delete(after, name)
		} else {
			after[name] = *value
		}
	}
	if len(after) == 0 {
		return nil
	}
	return after
}

// Broker returns a registration as it is within the edit, nil when there is none.
func (e *Edit) Broker(id int32) *Broker {
	b, _ := e.brokers.Get(brokerKey(id))
	return b
}

// PutBroker writes a registration.
func (e *Edit) PutBroker(b *Broker) error {
	if b.ID < 0 {
		return refuse("broker id %d is negative", b.ID)
	}
	e.brokers.Insert(brokerKey(b.ID), b)
	e.changes.broker(b.ID)
	return nil
}

// RemoveBroker forgets a registration.
func (e *Edit) RemoveBroker(id int32) error {
	if _, ok := e.brokers.Delete(brokerKey(id)); !ok {
		return refuse("broker %d is not registered", id)
	}
	e.changes.broker(id)
	return nil
}

// TakeProducerIDs hands out a block of count ids beginning at first.
func (e *Edit) TakeProducerIDs(first int64, count int32) error {
	if first != e.next.nextProducerID || count <= 0 || first > 1<<62 {
		return refuse("the next producer id is %d, a block of %d cannot begin at %d", e.next.nextProducerID, count, first)
	}
	e.next.nextProducerID = first + int64(count)
	return nil
}

// SetFeature finalizes a feature's level; 0 removes it.
func (e *Edit) SetFeature(name string, level int16) error {
	if name == "" || level < 0 {
		return refuse("feature %q cannot have level %d", name, level)
	}
	features := maps.Clone(e.next.features)
	if level == 0 {
		delete(features, name)
	} else {
		features[name] = level
	}
	e.next.features = features
	e.changes.features = true
	return nil
}
