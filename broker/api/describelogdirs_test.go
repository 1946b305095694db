package api

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// The controller balances what all tenants have; a client sees its own tenant's.
func TestLogDirsOfAllTenantsAreForBrokersOnly(t *testing.T) {
	s := testServices(t, nil)
	for tenant, topics := range map[string][]string{security.DefaultTenant: {"orders"}, "blue": {"orders", "rides"}} {
		for _, name := range topics {
			if err := s.Metadata.CreateTopics(t.Context(), tenant, []controller.NewTopic{{Name: name, PartitionCount: 2, ReplicationFactor: 1}}, false)[0].Err; err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		call *Call
		want []string
	}{
		{callFrom(t.Context(), "127.0.0.1:9092"), []string{"orders"}},
		{ofBroker(t, 2), []string{"\x00blue\x00orders", "\x00blue\x00rides", "orders"}},
	} {
		r := kmsg.NewPtrDescribeLogDirsRequest()
		r.Version = 4
		var names []string
		for _, topic := range describeLogDirs(s, c.call, r).(*kmsg.DescribeLogDirsResponse).Dirs[0].Topics {
			names = append(names, topic.Topic)
			if len(topic.Partitions) != 2 {
				t.Errorf("%q has %d partitions", topic.Topic, len(topic.Partitions))
			}
		}
		if !slices.Equal(names, c.want) {
			t.Errorf("%s is told of %q, want %q", c.call.Identity.Principal, names, c.want)
		}
	}
}
