package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

type shareMember struct {
	*kgo.Client
	implicit bool
	held     map[string]*kgo.Record
	mu       sync.Mutex
	refused  []string // what brokers told of acknowledgements; guarded by mu
}

// JoinShare joins a share group. The library has one mode: what was not acknowledged by the next poll is accepted then.
func (c *client) JoinShare(mode, group, topic string) (scenario.ShareMember, error) {
	m := &shareMember{implicit: mode == "implicit", held: map[string]*kgo.Record{}}
	k, err := c.open(kgo.ShareGroup(group), kgo.ConsumeTopics(topic), kgo.ShareMaxRecords(20), kgo.FetchMaxWait(100*time.Millisecond), kgo.ShareAckCallback(m.note))
	m.Client = k
	return m, err
}

func (m *shareMember) note(_ *kgo.Client, told kgo.ShareAckResults) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range told {
		if r.Err != nil {
			m.refused = append(m.refused, strings.ReplaceAll(r.Err.Error(), " ", "-"))
		}
	}
}

func (m *shareMember) Poll(ctx context.Context) (got []scenario.Shared, _ error) {
	soon, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	fetches := m.PollFetches(soon)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	for _, r := range fetches.Records() {
		m.held[string(r.Key)] = r
		got = append(got, scenario.Shared{Key: string(r.Key), DeliveryCount: r.DeliveryCount()})
	}
	return got, nil
}

func (m *shareMember) Acknowledge(key, how string) error {
	m.held[key].Ack(map[string]kgo.AckStatus{"accept": kgo.AckAccept, "release": kgo.AckRelease, "reject": kgo.AckReject, "renew": kgo.AckRenew}[how])
	return nil
}

func (m *shareMember) Commit(ctx context.Context) ([]string, error) {
	if m.implicit {
		m.MarkAcks(kgo.AckAccept)
	}
	if err := m.FlushAcks(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	told := m.refused
	m.refused = nil
	return told, nil
}

func (m *shareMember) Close() error {
	m.Client.Close()
	return nil
}
