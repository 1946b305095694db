package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/clients/drivers/scenario"
)

// groupMember holds rebalances back from a poll to its commit, so that what was polled is committed before it is given up.
type groupMember struct {
	member
	mu       sync.Mutex
	assigned map[string]bool // guarded by mu
}

// JoinGroup joins by the protocol that is asked for: that of KIP-848 has to be opted into.
func (c *client) JoinGroup(how scenario.Membership) (scenario.GroupMember, error) {
	m := &groupMember{assigned: map[string]bool{}}
	options := []kgo.Opt{
		kgo.ConsumerGroup(how.Group), kgo.ConsumeTopics(how.Topics), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(),
		kgo.FetchMaxWait(100 * time.Millisecond), kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(m.note(true)), kgo.OnPartitionsRevoked(m.note(false)), kgo.OnPartitionsLost(m.note(false)),
	}
	if strings.HasPrefix(how.Topics, "^") {
		options = append(options, kgo.ConsumeRegex())
	}
	if how.Instance != "" {
		options = append(options, kgo.InstanceID(how.Instance))
	}
	if how.Protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	} else {
		options = append(options, kgo.SessionTimeout(30*time.Second), kgo.HeartbeatInterval(300*time.Millisecond))
	}
	k, err := c.open(options...)
	m.Client = k
	return m, err
}

func (m *groupMember) note(has bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for topic, numbers := range partitions {
			for _, p := range numbers {
				if name := fmt.Sprintf("%s-%d", topic, p); has {
					m.assigned[name] = true
				} else {
					delete(m.assigned, name)
				}
			}
		}
	}
}

func (m *groupMember) Assigned() (names []string, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.assigned {
		names = append(names, name)
	}
	return names, nil
}

func (m *groupMember) Poll(ctx context.Context) ([]scenario.Record, error) {
	soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	fetches := m.PollFetches(soon)
	if err := fetches.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return nil, err
	}
	return convert(fetches.Records()), nil
}

func (m *groupMember) Commit(ctx context.Context) error {
	defer m.AllowRebalance()
	return m.CommitUncommittedOffsets(ctx)
}

func (m *groupMember) Close() error {
	m.CloseAllowingRebalance()
	return nil
}
