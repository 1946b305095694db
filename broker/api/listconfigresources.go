package api

import (
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/security"
)

// ListConfigResources, key 74, versions 0 and 1 (KIP-1142). Kafka: KafkaApis.handleListConfigResources.
//
// Version 0 lists client-metrics subscriptions, of which there are none here. Every broker and topic is listed, groups
// where something is set.
func listConfigResources(s *Services, c *Call, r *kmsg.ListConfigResourcesRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ListConfigResourcesResponse)
	all := []config.ResourceType{config.GroupResource, config.ClientMetricsResource, config.BrokerLoggerResource,
		config.BrokerResource, config.TopicResource}
	wanted := all
	switch {
	case r.Version == 0:
		wanted = []config.ResourceType{config.ClientMetricsResource}
	case len(r.ResourceTypes) > 0:
		wanted = wanted[:0:0]
		for _, kind := range r.ResourceTypes {
			wanted = append(wanted, config.ResourceType(kind))
		}
	}
	if !s.allowedOnCluster(c, security.OperationDescribeConfigs) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	for _, kind := range wanted {
		if !slices.Contains(all, kind) {
			answer.ErrorCode = kerr.UnsupportedVersion.Code
			return answer
		}
	}
	for _, kind := range all {
		if slices.Contains(wanted, kind) {
			answer.ConfigResources = append(answer.ConfigResources, s.configResources(c, kind)...)
		}
	}
	return answer
}

func (s *Services) configResources(c *Call, kind config.ResourceType) []kmsg.ListConfigResourcesResponseConfigResource {
	var found []kmsg.ListConfigResourcesResponseConfigResource
	add := func(name string) {
		found = append(found, kmsg.ListConfigResourcesResponseConfigResource{Name: name, Type: int8(kind)})
	}
	i := s.Metadata.Image()
	switch kind {
	case config.GroupResource:
		for resource := range i.ConfiguredResources() {
			if resource.Type == kind && resource.TenantOrDefault() == c.Identity.Tenant {
				add(resource.Name)
			}
		}
	case config.BrokerLoggerResource, config.BrokerResource:
		for _, n := range s.nodes(c, i, false) {
			add(strconv.Itoa(int(n.ID)))
		}
	case config.TopicResource:
		for t := range i.Topics(c.Identity.Tenant) {
			add(t.Name)
		}
	}
	return found
}
