package api

import (
	"strings"

	"github.com/millrace-io/millrace/security"
)

// admitted reports whether the request may reach its handler: a nil row is an API that the table does not name, and it is
// denied to everybody. The handler decides for each topic, group or other resource that the request names, and answers a
// denial in the terms of its API.
func (s *Services) admitted(c *Call, row *Row) bool {
	return row != nil && s.Allowed(c, row.Access.Operation, row.Access.Resource, "")
}

// Allowed reports whether the caller may do the operation on the named resource of its own tenant.
func (s *Services) Allowed(c *Call, op security.Operation, resource security.ResourceType, name string) bool {
	if s.Permits != nil && op != security.OperationNone && op != security.OperationUnknown {
		return s.Permits(c.Identity, op, resource, strings.Clone(name)) // so that a caller's name need not be on the heap
	}
	return security.Allowed(c.Identity, op, resource, name)
}

func (s *Services) allowedOnCluster(c *Call, op security.Operation) bool {
	return s.Allowed(c, op, security.ResourceCluster, security.ClusterName)
}

// authorizedOperations returns the operations that the caller has on a resource as Kafka's answers carry them.
func (s *Services) authorizedOperations(c *Call, resource security.ResourceType, name string) int32 {
	return security.AuthorizedOperations(resource, func(op security.Operation) bool { return s.Allowed(c, op, resource, name) })
}

// topicOperations returns the operations that the caller has on a topic as a bit field.
func (s *Services) topicOperations(c *Call, name string) int32 {
	return s.authorizedOperations(c, security.ResourceTopic, name)
}

// clusterOperations is 0 for a caller that may not describe the cluster.
func (s *Services) clusterOperations(c *Call) int32 {
	if !s.allowedOnCluster(c, security.OperationDescribe) {
		return 0
	}
	return s.authorizedOperations(c, security.ResourceCluster, security.ClusterName)
}
