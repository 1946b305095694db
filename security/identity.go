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
