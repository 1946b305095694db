// Package security says who a connection belongs to and what an API call would do to which resource.
//
// It imports no folder of ours: broker and metadata build on it. Authentication (tls, sasl) and access rules (acl,
// tenant) come with the issue on tenants; until then every listener is loopback or refuses to start, and every
// connection has the identity Anonymous.
package security

// DefaultTenant is the tenant of a cluster that has no tenants of its own; it is invisible on the wire.
const DefaultTenant = "default"

// Identity is fixed when a connection is made and goes with each of its requests.
type Identity struct {
	Tenant    string
	Principal string // Kafka's form, e.g. "User:ANONYMOUS"
	Host      string // the peer's IP address
}

// Anonymous is the identity of a connection on a listener without authentication.
func Anonymous(host string) Identity {
	return Identity{Tenant: DefaultTenant, Principal: "User:ANONYMOUS", Host: host}
}

// Operation is an ACL operation by Kafka's number (org.apache.kafka.common.acl.AclOperation).
type Operation int8

// The operations that the API table names.
const (
	OperationNone            Operation = 0 // no authorisation: ApiVersions, SaslHandshake, SaslAuthenticate
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
