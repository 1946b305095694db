package api

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// What the broker itself asks of the controller, and not a client through it.

// BrokerPrincipal is who a broker is to other brokers.
func BrokerPrincipal(nodeID int32) string { return brokerPrincipalPrefix + strconv.Itoa(int(nodeID)) }

const brokerPrincipalPrefix = "User:broker-"

// ownCall is a call of this broker for a tenant.
func (s *Services) ownCall(ctx context.Context, tenant string) *Call {
	return &Call{Peer: &server.Peer{
		Context: ctx, Listener: s.InternalListener,
		Identity: security.Identity{Tenant: tenant, Principal: BrokerPrincipal(s.NodeID)},
	}}
}

// AskSelf has this broker answer a request of its own; nil: it does not speak that API.
func (s *Services) AskSelf(ctx context.Context, request kmsg.Request) kmsg.Response {
	row := s.row(request.Key())
	if row == nil || row.handle == nil {
		return nil
	}
	c := s.ownCall(ctx, security.DefaultTenant)
	c.Version = request.GetVersion()
	response := row.handle(s, c, request)
	if response != nil {
		response.SetVersion(request.GetVersion())
	}
	return response
}

// createTopic has the controller create a topic that this broker has decided upon.
func (s *Services) createTopic(ctx context.Context, tenant string, topic controller.NewTopic) error {
	if s.Peers == nil {
		return s.Metadata.CreateTopics(ctx, tenant, []controller.NewTopic{topic}, false)[0].Err
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Version = 7
	if deadline, ok := ctx.Deadline(); ok {
		request.TimeoutMillis = int32(max(time.Until(deadline).Milliseconds(), 1))
	}
	asked := kmsg.NewCreateTopicsRequestTopic()
	asked.Topic, asked.NumPartitions, asked.ReplicationFactor = topic.Name, topic.PartitionCount, topic.ReplicationFactor
	for _, name := range slices.Sorted(maps.Keys(topic.Configs)) {
		asked.Configs = append(asked.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: topic.Configs[name]})
	}
	request.Topics = append(request.Topics, asked)
	answer, err := s.askController(s.ownCall(ctx, tenant), s.row(request.Key()), request)
	if err != nil {
		return err
	}
	topics := answer.(*kmsg.CreateTopicsResponse).Topics
	if len(topics) != 1 {
		return errors.New("the controller did not say whether it created the topic")
	}
	return refusalOf(topics[0].ErrorCode, topics[0].ErrorMessage)
}

// alterConfigs has the controller change settings; the errors are in the order of changes.
func (s *Services) alterConfigs(c *Call, changes []controller.ConfigChange, validateOnly bool) []error {
	if s.Peers == nil || c.ForController {
		ctx, cancel := requestContext(c, 0)
		defer cancel()
		return s.Metadata.AlterConfigs(ctx, changes, validateOnly)
	}
	request := alterRequest(changes, validateOnly)
	answer, err := s.askController(c, s.row(request.Key()), request)
	errs := make([]error, len(changes))
	for i := range errs {
		errs[i] = err
	}
	switch answered := answer.(type) {
	case *kmsg.AlterConfigsResponse:
		for i := range min(len(errs), len(answered.Resources)) {
			errs[i] = refusalOf(answered.Resources[i].ErrorCode, answered.Resources[i].ErrorMessage)
		}
	case *kmsg.IncrementalAlterConfigsResponse:
		for i := range min(len(errs), len(answered.Resources)) {
			errs[i] = refusalOf(answered.Resources[i].ErrorCode, answered.Resources[i].ErrorMessage)
		}
	}
	return errs
}

// alterRequest is what the controller is asked for. All changes of one request replace, or none does.
func alterRequest(changes []controller.ConfigChange, validateOnly bool) kmsg.Request {
	if changes[0].Replace {
		request := kmsg.NewPtrAlterConfigsRequest()
		request.Version, request.ValidateOnly = 2, validateOnly
		for _, change := range changes {
			resource := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceType(change.Resource.Type), ResourceName: change.Resource.Name}
			for _, op := range change.Ops {
				resource.Configs = append(resource.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: op.Name, Value: op.Value})
			}
			request.Resources = append(request.Resources, resource)
		}
		return request
	}
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Version, request.ValidateOnly = 1, validateOnly
	for _, change := range changes {
		resource := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceType(change.Resource.Type), ResourceName: change.Resource.Name}
		for _, op := range change.Ops {
			resource.Configs = append(resource.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{
				Name: op.Name, Op: kmsg.IncrementalAlterConfigOp(op.Op), Value: op.Value,
			})
		}
		request.Resources = append(request.Resources, resource)
	}
	return request
}

// refusalOf is the error that another broker's answer tells of.
func refusalOf(code int16, message *string) error {
	if code == 0 {
		return nil
	}
	refusal := &controller.Refusal{Err: kerr.TypedErrorForCode(code)}
	if refusal.Err == nil {
		refusal.Err = kerr.UnknownServerError
	}
	if message != nil {
		refusal.Message = *message
	}
	return refusal
}
