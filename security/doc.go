// Package security says who a connection belongs to and what an API call would do to which resource.
//
// It owns: Identity, the operations and resource types of Kafka's access control by their numbers on the wire, and the
// rule that decides (Allowed). It does not own: the table that says which API asks for which operation (broker/api), the
// listeners, tenants' limits.
//
//	connection -> Identity (tenant, principal, host)
//	request    -> Operation on (ResourceType, name)      both -> Allowed
//
// It imports no folder of ours: broker and metadata build on it. Authentication (tls, sasl) and access rules (acl,
// tenant) come with tenants; until then every listener is loopback or refuses to start, every connection has the
// identity Anonymous, and everything is allowed to it within the tenant DefaultTenant.
//
// Invariants: the zero Identity may do nothing; the zero Operation is allowed to nobody, so that a row of the API table
// that forgets its rule is closed and not open; an Identity does not change for as long as its connection lives.
//
// KIP-11 (authorisation), KIP-430 (authorised operations in answers).
package security
