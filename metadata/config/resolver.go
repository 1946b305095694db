package config

// Overrides is where dynamic settings are read from; *image.Image is one.
type Overrides interface {
	ConfigOverrides(r Resource) map[string]string
}

// Resolver finds effective values by Kafka's precedence: what is set on the resource, then on the broker, then as the
// cluster's default, then in the node's static configuration, then Kafka's default. It is immutable.
type Resolver struct {
	broker Resource
	static map[string]string
}

// NewResolver makes the resolver of one node. static holds the broker settings of its configuration file and flags by
// Kafka's names; CheckStatic has accepted them.
func NewResolver(nodeID int32, static map[string]string) *Resolver {
	return newResolver(nodeID, static)
}

// Topic returns the effective settings of a topic; its name is looked up in overrides.
func (r *Resolver) Topic(overrides Overrides, tenant, name string) Effective {
	return r.topicWith(overrides, overrides.ConfigOverrides(Resource{Type: TopicResource, Tenant: tenant, Name: name}))
}

// TopicWith returns the effective settings that a topic with these overrides has.
func (r *Resolver) TopicWith(overrides Overrides, topic map[string]string) Effective {
	return r.topicWith(overrides, topic)
}

// Broker returns the effective settings of this node.
func (r *Resolver) Broker(overrides Overrides) Effective { return r.effectiveBroker(overrides) }

// Group returns the effective settings of a group.
func (r *Resolver) Group(overrides Overrides, tenant, name string) Effective {
	return r.effectiveGroup(overrides, overrides.ConfigOverrides(Resource{Type: GroupResource, Tenant: tenant, Name: name}))
}
