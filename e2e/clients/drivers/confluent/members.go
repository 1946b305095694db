package main

import (
	"context"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

type groupMember struct{ member }

// JoinGroup joins by the protocol that is asked for.
func (c *client) JoinGroup(how scenario.Membership) (scenario.GroupMember, error) {
	config := kafka.ConfigMap{
		"bootstrap.servers": c.bootstrap, "group.id": how.Group, "group.protocol": how.Protocol, "enable.auto.commit": false,
		"auto.offset.reset": "earliest", "fetch.wait.max.ms": 100,
	}
	if how.Instance != "" {
		config["group.instance.id"] = how.Instance
	}
	if how.Protocol == "classic" {
		config["session.timeout.ms"], config["heartbeat.interval.ms"] = 30000, 300
	}
	k, err := kafka.NewConsumer(&config)
	if err != nil {
		return nil, err
	}
	return &groupMember{member{k}}, k.Subscribe(how.Topics, nil)
}

func (m *groupMember) Poll(context.Context) (got []scenario.Record, _ error) {
	for wait := 100 * time.Millisecond; len(got) < 100; wait = time.Millisecond {
		message, err := m.ReadMessage(wait)
		if isTimeout(err) {
			break
		} else if err != nil {
			return got, err
		}
		got = append(got, convert(message))
	}
	return got, nil
}

func (m *groupMember) Assigned() (names []string, _ error) {
	partitions, err := m.Assignment()
	for _, p := range partitions {
		names = append(names, fmt.Sprintf("%s-%d", *p.Topic, p.Partition))
	}
	return names, err
}
