package api

import (
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

// groupCaller is who a group sees: DescribeGroups shows the host in Java's form.
func groupCaller(c *Call) group.Caller {
	return group.Caller{
		Tenant: c.Identity.Tenant, ClientID: c.ClientID, ClientHost: "/" + c.Identity.Host,
		Unhurried: !waitsForHeartbeats(c.Software), Steady: c.Software == "kgo", // Java's assignors before 3.x forget what is not of the newest assignment
	}
}

// waitsForHeartbeats reports whether a client is known to wait for the answer to a ConsumerGroupHeartbeat longer than the interval
// that it was told last. librdkafka, which has many names, does not.
func waitsForHeartbeats(software string) bool {
	return software == "apache-kafka-java" || software == "kgo"
}

func (s *Services) allowedOnGroup(c *Call, op security.Operation, id string) bool {
	return s.Allowed(c, op, security.ResourceGroup, id)
}
