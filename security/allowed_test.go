package security

import "testing"

func TestTheZeroRuleIsClosed(t *testing.T) {
	for _, who := range []Identity{{}, Anonymous("127.0.0.1")} {
		if Allowed(who, OperationUnknown, ResourceCluster, ClusterName) {
			t.Errorf("%+v may do the operation that nobody has", who)
		}
	}
}

func TestAllowedByTenant(t *testing.T) {
	for _, test := range []struct {
		name string
		who  Identity
		want bool
	}{
		{"anonymous of the default tenant", Anonymous("127.0.0.1"), true},
		{"no identity", Identity{}, false},
		{"a tenant that does not exist", Identity{Tenant: "blue", Principal: "User:alice"}, false},
		{"no principal", Identity{Tenant: DefaultTenant}, false},
	} {
		if got := Allowed(test.who, OperationRead, ResourceTopic, "rides"); got != test.want {
			t.Errorf("%s: Allowed = %v, want %v", test.name, got, test.want)
		}
		if !Allowed(test.who, OperationNone, ResourceNone, "") {
			t.Errorf("%s: may not do what needs no authorisation", test.name)
		}
	}
}

// The numbers are those that Apache Kafka 4.3.1 answers where everything is allowed.
func TestAuthorizedOperationsAsKafkaShowsThem(t *testing.T) {
	for resource, want := range map[ResourceType]int32{ResourceTopic: 3576, ResourceCluster: 8096, ResourceNone: 0} {
		everything := func(op Operation) bool { return Allowed(Anonymous("127.0.0.1"), op, resource, "x") }
		if got := AuthorizedOperations(resource, everything); got != want {
			t.Errorf("resource type %d: %d, want %d", resource, got, want)
		}
	}
	if got := AuthorizedOperations(ResourceTopic, func(op Operation) bool { return Allowed(Identity{}, op, ResourceTopic, "x") }); got != 0 {
		t.Errorf("without an identity: %d, want 0", got)
	}
}
