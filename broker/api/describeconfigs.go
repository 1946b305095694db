package api

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// maxDescribedSettings bounds an answer, which may be thousands of times as large as its request.
const maxDescribedSettings = 1_000_000

// DescribeConfigs, key 32, versions 1 to 4. Kafka: ConfigHelper.
//
// A broker describes itself, or by the empty name the defaults of the cluster. A resource of a type that Kafka does not
// have refuses the whole request.
//
// Deviations: the one logger is "root", whose level is that of the process; client-metrics subscriptions are not kept, and
// refused by their type, since no telemetry is taken from clients; entries are in the order of their names.
func describeConfigs(s *Services, c *Call, r *kmsg.DescribeConfigsRequest) kmsg.Response {
	return describeUpTo(maxDescribedSettings, s, c, r)
}

// describeUpTo refuses the resources that come after so many settings.
func describeUpTo(limit int, s *Services, c *Call, r *kmsg.DescribeConfigsRequest) *kmsg.DescribeConfigsResponse {
	answer := r.ResponseKind().(*kmsg.DescribeConfigsResponse)
	unknown := unknownConfigResource(r)
	i, described := s.Metadata.Image(), 0
	for _, asked := range r.Resources {
		d := configDescription{services: s, image: i, request: r, asked: asked, names: setOf(asked.ConfigNames)}
		fault := unknown
		if fault == nil {
			fault = d.fault(c)
		}
		if described > limit {
			fault = refuse(kerr.InvalidRequest, fmt.Sprintf("The request describes more than %d settings, ask for fewer resources at a time.", limit))
		}
		resource := kmsg.DescribeConfigsResponseResource{ResourceType: asked.ResourceType, ResourceName: asked.ResourceName}
		if fault == nil {
			resource.Configs, fault = d.entries(c)
		}
		described += len(resource.Configs)
		resource.ErrorCode, resource.ErrorMessage = s.outcome(fault)
		if resource.ErrorMessage == nil || fault == kerr.UnknownTopicOrPartition {
			resource.ErrorMessage = kmsg.StringPtr("") // as Kafka has it
		}
		answer.Resources = append(answer.Resources, resource)
	}
	return answer
}

func unknownConfigResource(r *kmsg.DescribeConfigsRequest) error {
	for _, asked := range r.Resources {
		switch asked.ResourceType {
		case kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker, kmsg.ConfigResourceTypeBrokerLogger,
			kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig:
		default:
			return kerr.InvalidRequest
		}
	}
	return nil
}

// configDescription is one resource being described.
type configDescription struct {
	services *Services
	image    *image.Image
	request  *kmsg.DescribeConfigsRequest
	asked    kmsg.DescribeConfigsRequestResource
	names    map[string]bool // of settings asked for; nil: all
}

// fault says why the caller may not see the resource.
func (d configDescription) fault(c *Call) error {
	name := d.asked.ResourceName
	switch d.asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if !d.services.Allowed(c, security.OperationDescribeConfigs, security.ResourceTopic, name) {
			return kerr.TopicAuthorizationFailed
		}
	case kmsg.ConfigResourceTypeGroupConfig:
		if !d.services.Allowed(c, security.OperationDescribeConfigs, security.ResourceGroup, name) {
			return kerr.GroupAuthorizationFailed
		}
	default:
		if !d.services.allowedOnCluster(c, security.OperationDescribeConfigs) {
			return kerr.ClusterAuthorizationFailed
		}
	}
	return nil
}

func (d configDescription) entries(c *Call) ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	name, s := d.asked.ResourceName, d.services
	switch d.asked.ResourceType {
	case kmsg.ConfigResourceTypeTopic:
		if fault := controller.CheckTopicName(name); fault != nil {
			return nil, fault
		}
		if d.image.Topic(c.Identity.Tenant, name) == nil {
			return nil, kerr.UnknownTopicOrPartition
		}
		return d.show(s.Settings.Topic(d.image, c.Identity.Tenant, name).Entries()), nil
	case kmsg.ConfigResourceTypeBroker:
		return d.broker()
	case kmsg.ConfigResourceTypeBrokerLogger:
		return d.logger()
	case kmsg.ConfigResourceTypeGroupConfig:
		if name == "" {
			return nil, refuse(kerr.InvalidRequest, "Group name must not be empty")
		}
		return d.show(s.Settings.Group(d.image, c.Identity.Tenant, name).Entries()), nil
	}
	return nil, refuse(kerr.InvalidRequest, "Client metrics subscriptions are not supported by this broker.")
}

func (d configDescription) broker() ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	s, name := d.services, d.asked.ResourceName
	if name == "" {
		return d.show(s.Settings.ClusterDefault(d.image).Entries()), nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return nil, refuse(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
	}
	if int32(id) != s.NodeID {
		return nil, refuse(kerr.InvalidRequest,
			fmt.Sprintf("Unexpected broker id, expected %d or empty string, but received %s", s.NodeID, name))
	}
	return d.show(s.Settings.Broker(d.image).Entries()), nil
}

func (d configDescription) logger() ([]kmsg.DescribeConfigsResponseResourceConfig, error) {
	s, name := d.services, d.asked.ResourceName
	if name == "" {
		return nil, refuse(kerr.InvalidRequest, "Broker id must not be empty")
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return nil, refuse(kerr.InvalidRequest, "Broker id must be an integer, but it is: "+name)
	}
	if int32(id) != s.NodeID {
		return nil, refuse(kerr.InvalidRequest, fmt.Sprintf("Unexpected broker id, expected %d but received %s", s.NodeID, name))
	}
	if s.LogLevel == nil || !d.wants(rootLogger) {
		return nil, nil
	}
	level := levelName(s.LogLevel.Level())
	return []kmsg.DescribeConfigsResponseResourceConfig{{
		Name: rootLogger, Value: &level, Source: kmsg.ConfigSourceDynamicBrokerLoggerConfig, Documentation: kmsg.StringPtr(""),
	}}, nil
}

// wants reports whether the request asks for the setting: by no names at all it asks for every one.
func (d configDescription) wants(name string) bool {
	return d.names == nil || d.names[name]
}

func setOf(names []string) map[string]bool {
	if len(names) == 0 {
		return nil
	}
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

func (d configDescription) show(entries []config.Entry) []kmsg.DescribeConfigsResponseResourceConfig {
	shown := make([]kmsg.DescribeConfigsResponseResourceConfig, 0, len(entries))
	for _, entry := range entries {
		if !d.wants(entry.Name) {
			continue
		}
		one := kmsg.DescribeConfigsResponseResourceConfig{
			Name: entry.Name, Value: entry.Value, ReadOnly: entry.ReadOnly, Source: kmsg.ConfigSource(entry.Source),
			IsDefault: entry.Source == config.SourceDefault, IsSensitive: entry.Sensitive(), ConfigType: kmsg.ConfigType(entry.Type),
		}
		if d.request.IncludeDocumentation {
			one.Documentation = kmsg.StringPtr(entry.Describe())
		}
		if d.request.IncludeSynonyms {
			one.ConfigSynonyms = synonymsOf(entry)
		}
		shown = append(shown, one)
	}
	return shown
}

func synonymsOf(entry config.Entry) []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
	shown := make([]kmsg.DescribeConfigsResponseResourceConfigConfigSynonym, len(entry.Synonyms))
	for i, synonym := range entry.Synonyms {
		shown[i] = kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{
			Name: synonym.Name, Value: synonym.Value, Source: kmsg.ConfigSource(synonym.Source),
		}
	}
	return shown
}
