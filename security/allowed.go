package security

// Allowed decides whether who may do an operation on the resource of that type and name. Names are the tenant's own:
// who belongs to another tenant has no way to name anything of this one, and a tenant that does not exist has nothing. The
// name "" asks whether there is anything of the type, which is the first gate of every request.
func Allowed(who Identity, operation Operation, resource ResourceType, name string) bool {
	switch operation {
	case OperationNone:
		return true
	case OperationUnknown:
		return false
	}
	return who.Tenant == DefaultTenant && who.Principal != ""
}

// AuthorizedOperations returns what may be done to a resource of that type as Kafka's answers carry it: one bit for each
// operation that is allowed, at its number.
func AuthorizedOperations(resource ResourceType, allowed func(Operation) bool) int32 {
	var bits int32
	for _, operation := range Operations(resource) {
		if allowed(operation) {
			bits |= 1 << operation
		}
	}
	return bits
}
