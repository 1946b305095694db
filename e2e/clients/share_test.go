//go:build e2e

package clients

import (
	"path/filepath"
	"testing"
)

// TestJavaShareConsumers has Apache's own share consumers (KIP-932) acknowledge, release, reject and share a partition.
func TestJavaShareConsumers(t *testing.T) {
	c := &cell{t: t, address: startServer(t), client: &client{name: "Java share consumer"}, feature: &feature{}}
	if _, err := execute(c, "", append(java(t, filepath.Join("drivers", "java", "ShareDriver.java")), c.address, "jobs", "workers")...); err != nil {
		t.Error(err)
	}
}

// TestApacheShareTools runs Apache's tools of share groups, one after the other on one group.
func TestApacheShareTools(t *testing.T) {
	k := newTools(t)
	c := &cell{t: t, address: startServer(t), client: &client{name: "tools"}, feature: &feature{partitions: 1}, topic: "shared", group: "sharers", count: 50}
	if err := prepare(c); err != nil {
		t.Fatal(err)
	}
	const shareGroups = "org.apache.kafka.tools.consumer.group.ShareGroupCommand"
	for _, test := range []struct {
		name string
		toolCall
	}{
		{"settings of the group", toolCall{`Completed updating config`, configCommand, []string{"--alter", "--entity-type", "groups", "--entity-name", c.group, "--add-config", "share.auto.offset.reset=earliest"}}},
		{"produce", toolCall{`"acked":500`, verifiableProducer, []string{"--topic", c.topic, "--max-messages", "500", "--acks", "-1"}}},
		{"verifiable share consumer", toolCall{`"name":"offsets_acknowledged"`, "org.apache.kafka.tools.VerifiableShareConsumer", []string{"--topic", c.topic, "--group-id", c.group, "--max-messages", "500"}}},
		{"where the group is", toolCall{`sharers\s+shared\s+0\s+500\s+0`, shareGroups, []string{"--describe", "--group", c.group, "--offsets"}}},
		{"state of the group", toolCall{`sharers\s+.*Empty`, shareGroups, []string{"--describe", "--group", c.group, "--state"}}},
		{"list", toolCall{`sharers`, shareGroups, []string{"--list"}}},
		{"all groups", toolCall{`sharers\s+Share\s+share`, groupsCommand, []string{"--list"}}},
		{"begin anew", toolCall{`shared\s+0\s+0`, shareGroups, []string{"--reset-offsets", "--group", c.group, "--topic", c.topic, "--to-earliest", "--execute"}}},
		{"console share consumer", toolCall{`(?m)^9$`, "org.apache.kafka.tools.consumer.ConsoleShareConsumer", []string{"--topic", c.topic, "--group", c.group, "--max-messages", "10"}}},
		{"forget the topic", toolCall{`shared\s+Successful`, shareGroups, []string{"--delete-offsets", "--group", c.group, "--topic", c.topic}}},
		{"delete the group", toolCall{`was successful`, shareGroups, []string{"--delete", "--group", c.group}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := k.expect(c, test.pattern, test.class, test.args...); err != nil {
				t.Error(err)
			}
		})
	}
}
