package config

import "github.com/millrace-io/millrace/security"

// ResourceType is the kind of thing that a setting belongs to, by Kafka's number (ConfigResource.Type).
type ResourceType int8

// The resource types that have settings.
const (
	TopicResource         ResourceType = 2
	BrokerResource        ResourceType = 4
	BrokerLoggerResource  ResourceType = 8
	ClientMetricsResource ResourceType = 16
	GroupResource         ResourceType = 32
)

// Resource names what a setting belongs to. The broker named "" stands for the defaults of the whole cluster.
type Resource struct {
	Type   ResourceType
	Tenant string // of a topic or group; "" is the default tenant
	Name   string
}

// TenantOrDefault returns the tenant that owns the resource.
func (r Resource) TenantOrDefault() string {
	if r.Tenant == "" {
		return security.DefaultTenant
	}
	return r.Tenant
}

// Type is the type of a setting's value, by Kafka's number in DescribeConfigs.
type Type int8

// The types of values.
const (
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

// Source says where an effective value comes from, by Kafka's number in DescribeConfigs.
type Source int8

// The sources of values.
const (
	SourceUnknown              Source = 0
	SourceTopic                Source = 1
	SourceDynamicBroker        Source = 2
	SourceDynamicDefaultBroker Source = 3
	SourceStaticBroker         Source = 4
	SourceDefault              Source = 5
	SourceBrokerLogger         Source = 6
	SourceClientMetrics        Source = 7
	SourceGroup                Source = 8
)

// UpdateMode says whether a broker's setting can change while it runs (Kafka's DynamicBrokerConfig).
type UpdateMode int8

// The update modes of broker settings.
const (
	ReadOnly    UpdateMode = iota // from the static configuration alone
	PerBroker                     // can be set on one broker
	ClusterWide                   // can be set on one broker and as the default of all
)

// Definition describes one setting.
type Definition struct {
	Name          string
	Type          Type
	Default       string
	NoDefault     bool // the default is null
	Mode          UpdateMode
	Internal      bool     // known, but not shown unless set
	Inert         bool     // known to Kafka's clients and tools, but without effect in Millrace so far
	Synonyms      []string // of a topic or group setting: the broker settings that stand in for it, the first that is set counting
	Documentation string

	valid validator
}

// Describe returns the documentation, which says it when the setting has no effect.
func (d *Definition) Describe() string {
	if d.Inert {
		return d.Documentation + " Known for the sake of Kafka's tools; it has no effect in Millrace so far."
	}
	return d.Documentation
}

// Sensitive reports whether the value must never be shown.
func (d *Definition) Sensitive() bool { return d.Type == Password }
