package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// configAlteration is what AlterConfigs or IncrementalAlterConfigs asks of one resource.
type configAlteration struct {
	kind    kmsg.ConfigResourceType
	name    string
	ops     []controller.ConfigOp
	replace bool
}

// alterAll changes what can be changed, and returns an error for each of changes in order. Kafka: ConfigAdminManager
// on the broker first, then ControllerApis.
func (s *Services) alterAll(c *Call, changes []configAlteration, validateOnly bool) []error {
	errs := make([]error, len(changes))
	var wanted []controller.ConfigChange
	var places []int
	twice := repeatedResources(changes)
	for i, change := range changes {
		switch {
		case twice[i]:
			errs[i] = refuse(kerr.InvalidRequest, "Each resource must appear at most once.")
		default:
			errs[i] = s.alterationFault(c, change)
		}
		switch {
		case errs[i] != nil:
		case change.kind == kmsg.ConfigResourceTypeBrokerLogger:
			errs[i] = s.alterLogger(change, validateOnly)
		default:
			wanted = append(wanted, controller.ConfigChange{Resource: change.resource(c), Ops: change.ops, Replace: change.replace})
			places = append(places, i)
		}
	}
	if len(wanted) > 0 {
		for n, err := range s.alterConfigs(c, wanted, validateOnly) {
			errs[places[n]] = err
		}
	}
	return errs
}

func (a configAlteration) resource(c *Call) config.Resource {
	resource := config.Resource{Type: config.ResourceType(a.kind), Name: a.name}
	if resource.Type == config.TopicResource || resource.Type == config.GroupResource {
		resource.Tenant = c.Identity.Tenant
	}
	return resource
}

func repeatedResources(changes []configAlteration) []bool {
	type key struct {
		kind kmsg.ConfigResourceType
		name string
	}
	twice := make([]bool, len(changes))
	first := make(map[key]int, len(changes))
	for i, change := range changes {
		k := key{change.kind, change.name}
		if at, seen := first[k]; seen {
			twice[at], twice[i] = true, true
		} else {
			first[k] = i
		}
	}
	return twice
}

// alterationFault is what the broker itself finds wrong, before the controller is asked.
func (s *Services) alterationFault(c *Call, change configAlteration) error {
	if fault := opsFault(change.ops); fault != nil {
		return fault
	}
	switch change.kind {
	case kmsg.ConfigResourceTypeTopic:
		if !s.Allowed(c, security.OperationAlterConfigs, security.ResourceTopic, change.name) {
			return kerr.TopicAuthorizationFailed
		}
		return nil
	case kmsg.ConfigResourceTypeGroupConfig:
		if !s.Allowed(c, security.OperationAlterConfigs, security.ResourceGroup, change.name) {
			return kerr.GroupAuthorizationFailed
		}
		return nil
	case kmsg.ConfigResourceTypeBroker:
		if !s.allowedOnCluster(c, security.OperationAlterConfigs) {
			return kerr.ClusterAuthorizationFailed
		}
		if c.ForController {
			return nil // the broker that forwarded it has looked
		}
		return s.brokerNameFault(change)
	case kmsg.ConfigResourceTypeBrokerLogger:
		if change.replace || c.ForController {
			break // AlterConfigs of old has no loggers, and loggers are not the controller's
		}
		if !s.allowedOnCluster(c, security.OperationClusterAction) {
			return kerr.ClusterAuthorizationFailed
		}
		return nil
	case kmsg.ConfigResourceTypeClientMetrics:
		return refuse(kerr.InvalidRequest, "Client metrics subscriptions are not supported by this broker.")
	}
	return refuse(kerr.InvalidRequest, fmt.Sprintf("Unknown resource type %d", change.kind))
}

func opsFault(ops []controller.ConfigOp) error {
	seen := make(map[string]bool, len(ops))
	var null []string
	for _, op := range ops {
		if seen[op.Name] {
			return refuse(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[op.Name] = true
		if op.Op != controller.OpDelete && op.Value == nil {
			null = append(null, op.Name)
		}
	}
	if len(null) > 0 {
		slices.Sort(null)
		return refuse(kerr.InvalidRequest, "Null value not supported for : "+strings.Join(null, ", "))
	}
	for _, op := range ops {
		if op.Op < controller.OpSet || op.Op > controller.OpSubtract {
			return refuse(kerr.InvalidRequest, fmt.Sprintf("Unknown operations type %d", op.Op))
		}
	}
	return nil
}

// brokerNameFault holds that a broker changes its own settings, or by the empty name those of all. What the controller does
// with a broker (millrace.drain) can be set at any: the one that it is about may not run any more.
func (s *Services) brokerNameFault(change configAlteration) error {
	name := change.name
	kafkas := func(op controller.ConfigOp) bool { return !strings.HasPrefix(op.Name, "millrace.") }
	if name == "" || len(change.ops) > 0 && !slices.ContainsFunc(change.ops, kafkas) {
		return nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return refuse(kerr.InvalidRequest, "Node id must be an integer, but it is: "+name)
	}
	if int32(id) != s.NodeID {
		return refuse(kerr.InvalidRequest, fmt.Sprintf("Unexpected broker id, expected %d, but received %s", s.NodeID, name))
	}
	return nil
}

func (s *Services) loggerFault(op controller.ConfigOp) error {
	switch op.Op {
	case controller.OpSet:
	case controller.OpDelete:
		if op.Name == rootLogger {
			return refuse(kerr.InvalidRequest, "Removing the log level of the root logger is not allowed")
		}
		return refuse(kerr.InvalidConfig, fmt.Sprintf("Logger %s does not exist!", op.Name))
	case controller.OpAppend:
		return refuse(kerr.InvalidRequest, "APPEND operation is not allowed for the BROKER_LOGGER resource")
	default:
		return refuse(kerr.InvalidRequest, "SUBTRACT operation is not allowed for the BROKER_LOGGER resource")
	}
	if op.Name != rootLogger || s.LogLevel == nil {
		return refuse(kerr.InvalidConfig, fmt.Sprintf("Logger %s does not exist!", op.Name))
	}
	if _, known := levelOf(*op.Value); !known {
		return refuse(kerr.InvalidConfig, fmt.Sprintf("Cannot set the log level of %s to %s as it is not a supported log level. "+
			"Valid log levels are DEBUG, ERROR, FATAL, INFO, TRACE, WARN", op.Name, *op.Value))
	}
	return nil
}
