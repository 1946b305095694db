package image

import (
	"encoding/binary"
	"iter"
	"maps"
	"strings"

	iradix "github.com/hashicorp/go-immutable-radix/v2"

	"github.com/millrace-io/millrace/metadata/config"
)

// Image is the whole metadata of a cluster at one index of the metadata log. It is immutable: any number of goroutines
// may read it, and a newer one shares with it whatever did not change.
type Image struct {
	index          uint64 // of the last entry of the metadata log that is in it
	clusterID      string
	partitionCount int
	nextProducerID int64

	topics   *iradix.Tree[*Topic]            // by tenant, 0x00, name
	ids      *iradix.Tree[*Topic]            // by topic id
	unified  *iradix.Tree[string]            // names with '.' or '_', by tenant, 0x00 and the name with '_' for '.'
	brokers  *iradix.Tree[*Broker]           // by id, big-endian
	configs  *iradix.Tree[map[string]string] // of brokers and groups, by type and name; those of a topic are in the topic
	features map[string]int16                // finalized; replaced as a whole
}

// Empty returns the image before the first entry of the log.
func Empty() *Image {
	return &Image{
		topics: iradix.New[*Topic](), ids: iradix.New[*Topic](), unified: iradix.New[string](), brokers: iradix.New[*Broker](),
		configs: iradix.New[map[string]string](), features: map[string]int16{},
	}
}

// Index returns the index of the last entry of the metadata log that the image holds.
func (i *Image) Index() uint64 { return i.index }

// ClusterID returns the cluster's id, "" before the first start has written it.
func (i *Image) ClusterID() string { return i.clusterID }

// Topic returns the tenant's topic of that name, nil when there is none.
func (i *Image) Topic(tenant, name string) *Topic {
	var scratch [128]byte
	t, _ := i.topics.Get(appendTopicKey(scratch[:0], tenant, name))
	return t
}

// TopicByID returns the topic, nil when there is none.
func (i *Image) TopicByID(id TopicID) *Topic {
	t, _ := i.ids.Get(id[:])
	return t
}

// CollidingTopic returns the name of the tenant's topic that differs from name in nothing but '.' and '_', or equals it;
// "" when there is none or name has neither.
func (i *Image) CollidingTopic(tenant, name string) string {
	if !strings.ContainsAny(name, "._") {
		return ""
	}
	found, _ := i.unified.Get(unifiedKey(tenant, name))
	return found
}

// Topics walks a tenant's topics in the order of their names.
func (i *Image) Topics(tenant string) iter.Seq[*Topic] {
	return func(yield func(*Topic) bool) {
		it := i.topics.Root().Iterator()
		it.SeekPrefix(appendTopicKey(nil, tenant, ""))
		for _, t, ok := it.Next(); ok && yield(t); _, t, ok = it.Next() {
		}
	}
}

// AllTopics walks every topic, by tenant and name.
func (i *Image) AllTopics() iter.Seq[*Topic] { return walk(i.topics) }

// TopicCount returns the number of topics of all tenants.
func (i *Image) TopicCount() int { return i.topics.Len() }

// PartitionCount returns the number of partitions of all topics.
func (i *Image) PartitionCount() int { return i.partitionCount }

// Broker returns the registration of a broker, nil when there is none.
func (i *Image) Broker(id int32) *Broker {
	b, _ := i.brokers.Get(brokerKey(id))
	return b
}

// Brokers walks the registered brokers by id.
func (i *Image) Brokers() iter.Seq[*Broker] { return walk(i.brokers) }

// ConfigOverrides returns what is set on a resource, nil when nothing is; the map must not be changed. The broker named
// "" stands for the defaults of the whole cluster.
func (i *Image) ConfigOverrides(r config.Resource) map[string]string {
	if r.Type == config.TopicResource {
		if t := i.Topic(r.TenantOrDefault(), r.Name); t != nil {
			return t.Config
		}
		return nil
	}
	m, _ := i.configs.Get(configKey(r))
	return m
}

// ConfiguredResources walks the brokers and groups that have overrides, by type and name.
func (i *Image) ConfiguredResources() iter.Seq[config.Resource] {
	return func(yield func(config.Resource) bool) {
		it := i.configs.Root().Iterator()
		for k, _, ok := it.Next(); ok && yield(parseConfigKey(k)); k, _, ok = it.Next() {
		}
	}
}

// Features returns the finalized features and their levels.
func (i *Image) Features() map[string]int16 { return maps.Clone(i.features) }

// NextProducerID returns the first producer id that no block holds yet.
func (i *Image) NextProducerID() int64 { return i.nextProducerID }

func walk[V any](tree *iradix.Tree[V]) iter.Seq[V] {
	return func(yield func(V) bool) {
		it := tree.Root().Iterator()
		for _, v, ok := it.Next(); ok && yield(v); _, v, ok = it.Next() {
		}
	}
}

// appendTopicKey makes the key of a name. Tenant names hold no zero byte, so no tenant's keys are a prefix of another's.
func appendTopicKey(dst []byte, tenant, name string) []byte {
	dst = append(dst, tenant...)
	dst = append(dst, 0)
	return append(dst, name...)
}

func unifiedKey(tenant, name string) []byte {
	return appendTopicKey(nil, tenant, strings.ReplaceAll(name, ".", "_"))
}

// brokerKey keeps the order of ids that are not negative, and no others are registered.
func brokerKey(id int32) []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

func configKey(r config.Resource) []byte {
	key := append([]byte{byte(r.Type)}, r.TenantOrDefault()...)
	key = append(key, 0)
	return append(key, r.Name...)
}

func parseConfigKey(key []byte) config.Resource {
	r := config.Resource{Type: config.ResourceType(key[0])}
	for i, c := range key {
		if i > 0 && c == 0 {
			r.Tenant, r.Name = string(key[1:i]), string(key[i+1:])
			break
		}
	}
	return r
}
