package coordinator

import "strings"

// DefaultTenant is security.DefaultTenant: this package builds on nothing above the floor.
const DefaultTenant = "default"

// QualifiedName names what a tenant has (a group, a transactional id, a topic) where names of all tenants stand beside each
// other: in records of internal topics, for the hash that chooses their partition, and in requests between brokers, which
// belong to no tenant. Names of the default tenant are as Kafka has them; others are prefixed with "\x00tenant\x00", and so is a
// default name that begins with "\x00" itself, so that no two are the same.
func QualifiedName(tenant, name string) string {
	if (tenant == DefaultTenant || tenant == "") && !strings.HasPrefix(name, "\x00") {
		return name
	}
	return "\x00" + tenant + "\x00" + name
}

// SplitName is the tenant and the name that make a qualified name.
func SplitName(qualified string) (tenant, name string) {
	if rest, ok := strings.CutPrefix(qualified, "\x00"); ok {
		if tenant, name, ok := strings.Cut(rest, "\x00"); ok {
			return tenant, name
		}
	}
	return DefaultTenant, qualified
}
