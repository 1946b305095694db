package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// Overrides is where dynamic settings are read from; *image.Image is one.
type Overrides interface {
	ConfigOverrides(r Resource) map[string]string
}

// Resolver finds effective values by Kafka's precedence: what is set on the resource, then on the broker, then as the
// cluster's default, then in the node's static configuration, then Kafka's default. It is immutable.
type Resolver struct {
	broker Resource // this node
	static map[string]string
}

// NewResolver makes the resolver of one node. static holds the broker settings of its configuration file and flags by
// Kafka's names; CheckStatic has accepted them.
func NewResolver(nodeID int32, static map[string]string) *Resolver {
	id := strconv.Itoa(int(nodeID))
	r := &Resolver{broker: Resource{Type: BrokerResource, Name: id}, static: map[string]string{"node.id": id, "broker.id": id}}
	maps.Copy(r.static, static)
	return r
}

// CheckStatic reports every fault of a node's static broker settings: unknown names and bad values.
func CheckStatic(static map[string]string) error {
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(static)) {
		d := Broker().Get(name)
		if d == nil {
			faults = append(faults, fmt.Errorf("%s: no such setting", name))
		} else if err := d.Check(static[name]); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// Topic returns the effective settings of a topic; its name is looked up in overrides.
func (r *Resolver) Topic(overrides Overrides, tenant, name string) Effective {
	return r.TopicWith(overrides, overrides.ConfigOverrides(Resource{Type: TopicResource, Tenant: tenant, Name: name}))
}

// TopicWith returns the effective settings that a topic with these overrides has.
func (r *Resolver) TopicWith(overrides Overrides, topic map[string]string) Effective {
	e := r.Broker(overrides)
	e.catalogue, e.own, e.ownSource = Topic(), topic, SourceTopic
	return e
}

// Group returns the effective settings of a group.
func (r *Resolver) Group(overrides Overrides, tenant, name string) Effective {
	return r.GroupWith(overrides, overrides.ConfigOverrides(Resource{Type: GroupResource, Tenant: tenant, Name: name}))
}

// GroupWith returns the effective settings that a group with these overrides has.
func (r *Resolver) GroupWith(overrides Overrides, group map[string]string) Effective {
	e := r.Broker(overrides)
	e.catalogue, e.own, e.ownSource = Group(), group, SourceGroup
	return e
}

// Broker returns the effective settings of this node.
func (r *Resolver) Broker(overrides Overrides) Effective {
	return Effective{catalogue: Broker(), layers: [3]layer{
		{SourceDynamicBroker, overrides.ConfigOverrides(r.broker)},
		{SourceDynamicDefaultBroker, overrides.ConfigOverrides(Resource{Type: BrokerResource})},
		{SourceStaticBroker, r.static},
	}}
}

// ClusterDefault returns what is set as the default of all brokers; its Entries are those settings alone.
func (r *Resolver) ClusterDefault(overrides Overrides) Effective {
	return Effective{catalogue: Broker(), onlySet: true, layers: [3]layer{
		{SourceDynamicDefaultBroker, overrides.ConfigOverrides(Resource{Type: BrokerResource})},
	}}
}
