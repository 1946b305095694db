package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
)

// IncrementalAlterConfigs, key 44, versions 0 and 1. Kafka: ConfigAdminManager, RuntimeLoggerManager,
// ControllerApis.handleIncrementalAlterConfigs.
//
// Deviation: there is one logger, "root"; client-metrics subscriptions are refused.
func incrementalAlterConfigs(s *Services, c *Call, r *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	changes := make([]configAlteration, len(r.Resources))
	for i, resource := range r.Resources {
		changes[i] = configAlteration{kind: resource.ResourceType, name: resource.ResourceName}
		for _, setting := range resource.Configs {
			changes[i].ops = append(changes[i].ops,
				controller.ConfigOp{Name: setting.Name, Op: controller.OpType(setting.Op), Value: setting.Value})
		}
	}
	answer := r.ResponseKind().(*kmsg.IncrementalAlterConfigsResponse)
	for i, err := range s.alterAll(c, changes, r.ValidateOnly) {
		resource := kmsg.IncrementalAlterConfigsResponseResource{ResourceType: changes[i].kind, ResourceName: changes[i].name}
		resource.ErrorCode, resource.ErrorMessage = s.outcome(err)
		answer.Resources = append(answer.Resources, resource)
	}
	return answer
}
