package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

// groupMember commits what it has polled before partitions are taken away: the library leaves a partition that is not
// assigned any more out of a commit without a word, and who gets it next begins where the last commit was.
type groupMember struct {
	member
	uncommitted error // what was polled since the last Commit and could not be committed then
	closing     bool  // everything is committed; the library goes on polling, and nobody sees what it gets
}

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
	m := &groupMember{member: member{k}}
	return m, k.Subscribe(how.Topics, m.rebalanced)
}

// rebalanced is called within Poll and Close, between two messages.
func (m *groupMember) rebalanced(_ *kafka.Consumer, event kafka.Event) error {
	if _, revoked := event.(kafka.RevokedPartitions); revoked && !m.closing {
		m.uncommitted = errors.Join(m.uncommitted, m.commit())
	}
	return nil
}

func (m *groupMember) Commit(context.Context) error {
	err := errors.Join(m.uncommitted, m.commit())
	m.uncommitted = nil
	return err
}

func (m *groupMember) Close() error {
	m.closing = true
	return m.member.Close()
}

func (m *groupMember) commit() error {
	_, err := m.Consumer.Commit()
	var k kafka.Error
	if errors.As(err, &k) && k.Code() == kafka.ErrNoOffset {
		return nil // everything is committed
	}
	return err
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
