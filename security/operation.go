package security

// Operation is an ACL operation by Kafka's number (org.apache.kafka.common.acl.AclOperation).
type Operation int8

// The operations that the API table names.
const (
	OperationUnknown         Operation = 0  // what a forgotten rule asks for: nobody has it
	OperationNone            Operation = -1 // no authorisation: ApiVersions, SaslHandshake, SaslAuthenticate
	OperationRead            Operation = 3
	OperationWrite           Operation = 4
	OperationCreate          Operation = 5
	OperationDelete          Operation = 6
	OperationAlter           Operation = 7
	OperationDescribe        Operation = 8
	OperationClusterAction   Operation = 9
	OperationDescribeConfigs Operation = 10
	OperationAlterConfigs    Operation = 11
	OperationIdempotentWrite Operation = 12
)

// ResourceType is the kind of thing an operation applies to, by Kafka's number (ResourceType).
type ResourceType int8

// The resource types that the API table names.
const (
	ResourceNone            ResourceType = 0
	ResourceTopic           ResourceType = 2
	ResourceGroup           ResourceType = 3
	ResourceCluster         ResourceType = 4
	ResourceTransactionalID ResourceType = 5
)

// ClusterName is the name of the one resource of type ResourceCluster.
const ClusterName = "kafka-cluster"

// Operations returns what can be done to a resource of that type, by number (Kafka's AclEntry.supportedOperations).
func Operations(resource ResourceType) []Operation {
	switch resource {
	case ResourceTopic:
		return []Operation{OperationRead, OperationWrite, OperationCreate, OperationDelete, OperationAlter, OperationDescribe,
			OperationDescribeConfigs, OperationAlterConfigs}
	case ResourceGroup:
		return []Operation{OperationRead, OperationDelete, OperationDescribe, OperationDescribeConfigs, OperationAlterConfigs}
	case ResourceCluster:
		return []Operation{OperationCreate, OperationAlter, OperationDescribe, OperationClusterAction,
			OperationDescribeConfigs, OperationAlterConfigs, OperationIdempotentWrite}
	case ResourceTransactionalID:
		return []Operation{OperationWrite, OperationDescribe}
	}
	return nil
}
