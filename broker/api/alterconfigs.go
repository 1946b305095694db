package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
)

// AlterConfigs, key 33, versions 0 to 2. Kafka: ConfigAdminManager, ControllerApis.handleLegacyAlterConfigs.
//
// What the request does not name goes back to its default. The checks are those of IncrementalAlterConfigs.
//
// Deviation: a resource named twice is INVALID_REQUEST (Kafka 4.3 closes the connection).
func alterConfigs(s *Services, c *Call, r *kmsg.AlterConfigsRequest) kmsg.Response {
	changes := make([]configAlteration, len(r.Resources))
	for i, resource := range r.Resources {
		changes[i] = configAlteration{kind: resource.ResourceType, name: resource.ResourceName, replace: true}
		for _, setting := range resource.Configs {
			changes[i].ops = append(changes[i].ops, controller.ConfigOp{Name: setting.Name, Op: controller.OpSet, Value: setting.Value})
		}
	}
	answer := r.ResponseKind().(*kmsg.AlterConfigsResponse)
	for i, err := range s.alterAll(c, changes, r.ValidateOnly) {
		resource := kmsg.AlterConfigsResponseResource{ResourceType: changes[i].kind, ResourceName: changes[i].name}
		resource.ErrorCode, resource.ErrorMessage = s.outcome(err)
		answer.Resources = append(answer.Resources, resource)
	}
	return answer
}
