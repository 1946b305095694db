package api

import (
	"strconv"
	"strings"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

// groupCaller is who a group sees: DescribeGroups shows the host in Java's form.
func groupCaller(c *Call) group.Caller {
	return group.Caller{
		Tenant: c.Identity.Tenant, ClientID: c.ClientID, ClientHost: "/" + c.Identity.Host,
		Unhurried: !waitsForHeartbeats(c.Software), Steady: isSteady(c.Software, c.SoftwareVersion),
	}
}

// isSteady reports whether a client is known to be as Caller.Steady says. Java's before 3.5 name the generation of their last
// assignment, or none once SyncGroup was refused (KAFKA-13891), and its assignors take for nobody's what is not of the newest (KAFKA-14016).
func isSteady(software, version string) bool {
	switch software {
	case "kgo":
		return true
	case "apache-kafka-java":
		first, rest, _ := strings.Cut(version, ".")
		second, _, _ := strings.Cut(rest, ".")
		major, err := strconv.Atoi(first)
		if err != nil {
			return false // such as "unknown"
		}
		minor, err := strconv.Atoi(second)
		return err == nil && (major > 3 || major == 3 && minor >= 5)
	}
	return false
}

// waitsForHeartbeats reports whether a client is known to wait for the answer to a ConsumerGroupHeartbeat longer than the interval
// that it was told last. librdkafka, which has many names, does not.
func waitsForHeartbeats(software string) bool {
	return software == "apache-kafka-java" || software == "kgo"
}

func (s *Services) allowedOnGroup(c *Call, op security.Operation, id string) bool {
	return s.Allowed(c, op, security.ResourceGroup, id)
}
