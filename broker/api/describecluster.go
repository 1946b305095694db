package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The kinds of endpoint that DescribeCluster asks for.
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// DescribeCluster, key 60, versions 0 to 2. Kafka: KafkaApis.handleDescribeCluster, AuthHelper.computeDescribeClusterResponse.
//
// Deviation: the controller shown is the quorum's leader where clients can reach it (Kafka: any broker).
func describeCluster(s *Services, c *Call, r *kmsg.DescribeClusterRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeClusterResponse)
	answer.EndpointType = endpointBrokers
	answer.ControllerID = -1
	if fault := describeClusterFault(s, c, r); fault != nil {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(fault)
		return answer
	}
	if r.IncludeClusterAuthorizedOperations {
		answer.ClusterAuthorizedOperations = s.clusterOperations(c)
	}
	i := s.Metadata.Image()
	answer.ClusterID = i.ClusterID()
	answer.ControllerID = s.controllerID(s.nodes(c, i, false))
	for _, n := range s.nodes(c, i, r.IncludeFencedBrokers) {
		answer.Brokers = append(answer.Brokers, kmsg.DescribeClusterResponseBroker{
			NodeID: n.ID, Host: n.host, Port: n.port, Rack: n.rack(), IsFenced: n.Fenced,
		})
	}
	return answer
}

func describeClusterFault(s *Services, c *Call, r *kmsg.DescribeClusterRequest) error {
	switch {
	case r.Version >= 1 && r.EndpointType == endpointControllers:
		return refuse(kerr.MismatchedEndpointType,
			"The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER")
	case r.Version >= 1 && r.EndpointType != endpointBrokers:
		return refuse(kerr.UnsupportedEndpointType, fmt.Sprintf("Unsupported endpoint type %d", r.EndpointType))
	}
	return nil
}
