package security

// Admitted decides whether there is anything of a type that who may do an operation on. It is the first gate of every
// request; Allowed decides for what the request names.
func Admitted(who Identity, operation Operation, resource ResourceType) bool {
	return Allowed(who, operation, resource, "")
}

// Allowed decides whether who may do an operation on the resource of that type and name. Names are the tenant's own:
// who belongs to another tenant has no way to name anything of this one, and a tenant that does not exist has nothing.
func Allowed(who Identity, operation Operation, resource ResourceType, name string) bool {
	switch operation {
	case OperationNone:
		return true
	case OperationUnknown:
		return false
	}
	return who.Tenant == DefaultTenant && who.Principal != ""
}

// AuthorizedOperations returns the operations that who has on the resource as Kafka's answers carry them: one bit for
// each, at the operation's number.
func AuthorizedOperations(who Identity, resource ResourceType, name string) int32 {
	var bits int32
	for _, operation := range Operations(resource) {
		if Allowed(who, operation, resource, name) {
			bits |= 1 << operation
		}
	}
	return bits
}
