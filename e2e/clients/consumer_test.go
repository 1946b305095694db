//go:build e2e

package clients

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const consumerPartitions = 6

// playConsumerProtocol has members of one client come and go in a group of the consumer protocol (KIP-848) while records
// flow: the broker divides the partitions evenly, a static member that comes back finds its own, nothing is missed, and what
// was committed does not come again.
func playConsumerProtocol(c *cell) error {
	l := newLedger()
	m, err := startCompany(l, c.client.leads("members", c.address)...)
	if err != nil {
		return err
	}
	flow := startLoad(c.address, c.topic, consumerPartitions)
	err = inTurn(
		func() error { return comeAndGo(c, m, l) },
		func() error { return staticReturns(c, m, l) },
		func() error { return followsRegex(c, m, l) },
		func() error { return resumes(c, m, l, flow) },
	)
	_, flowed := flow.end()
	err = errors.Join(err, flowed, m.end())
	if err == nil {
		err = refereeConsumerProtocol(c)
	}
	return err
}

// comeAndGo ends with b and the static member d.
func comeAndGo(c *cell, m *company, l *ledger) error {
	divided := func(names ...string) func() error {
		return func() error { return l.divided(c.topic, consumerPartitions, names...) }
	}
	return inTurn(
		func() error { return m.join("a", "consumer", c.group, "-", c.topic) },
		divided("a"),
		func() error { return m.join("b", "consumer", c.group, "-", c.topic) },
		divided("a", "b"),
		func() error { return m.join("d", "consumer", c.group, "fixed", c.topic) },
		divided("a", "b", "d"),
		func() error { return receive(l, "a", "b", "d") },
		func() error { return m.leave("a") },
		divided("b", "d"),
		func() error { return receive(l, "b", "d") },
	)
}

// receive waits until each of these has received more.
func receive(l *ledger, names ...string) error {
	before := map[string]int{}
	for _, name := range names {
		before[name] = l.receivedBy(name)
	}
	return l.await(fmt.Sprintf("%v receive", names), func() bool {
		return !slices.ContainsFunc(names, func(name string) bool { return l.receivedBy(name) < before[name]+30 })
	})
}

// staticReturns restarts d as e: it gets what d had, and b is not troubled.
func staticReturns(c *cell, m *company, l *ledger) error {
	had, _ := l.has("d")
	_, before := l.has("b")
	err := inTurn(
		func() error { return m.leave("d") },
		func() error { return receive(l, "b") },
		func() error { return m.join("e", "consumer", c.group, "fixed", c.topic) },
		func() error { return l.divided(c.topic, consumerPartitions, "b", "e") },
		func() error { return receive(l, "b", "e") },
	)
	if err != nil {
		return err
	}
	has, _ := l.has("e")
	if _, after := l.has("b"); !slices.Equal(had, has) || after != before {
		return fmt.Errorf("the static member had %v and came back to %v; the assignment of the other changed %d times", had, has, after-before)
	}
	return nil
}

// followsRegex has a member subscribe by a regular expression, to one topic that is there and one that comes.
func followsRegex(c *cell, m *company, l *ledger) error {
	family := c.topic + ".family."
	add := func(topic string) func() error {
		return func() error { return errors.Join(createTopic(c, topic, 1), send(c, topic, 1, topic+"/0", topic+"/1")) }
	}
	return inTurn(
		func() error { return createTopic(c, "not."+family+"x", 1) },
		add(family+"one"), // franz-go does not join before it knows of a topic that matches
		func() error {
			return m.join("r", "consumer", c.group+".regex", "-", "^"+strings.ReplaceAll(family, ".", `\.`)+"[a-z]+")
		},
		func() error { return l.sawAll(family+"one/0", family+"one/1") },
		add(family+"two"),
		func() error { return l.sawAll(family+"two/0", family+"two/1") },
		func() error {
			return l.await("both topics are assigned, and no other", func() bool {
				has, _ := l.has("r")
				return slices.Equal(has, []string{family + "one-0", family + "two-0"})
			})
		},
	)
}

// resumes has everybody leave when all is seen; who comes then gets what was written since, and nothing else.
func resumes(c *cell, m *company, l *ledger, flow *load) error {
	values, err := flow.end()
	if err != nil {
		return err
	}
	later := []string{"later/0", "later/1", "later/2", "later/3", "later/4", "later/5"}
	return inTurn(
		func() error { return l.sawAll(values...) },
		func() error { return m.leave("b") },
		func() error { return m.leave("e") },
		func() error { return m.leave("r") },
		func() error { return send(c, c.topic, consumerPartitions, later...) },
		func() error { return m.join("z", "consumer", c.group, "fixed", c.topic) },
		func() error { return l.sawAll(later...) },
		func() error { return m.leave("z") },
		l.onlyOnce,
	)
}

// refereeConsumerProtocol expects a group of the consumer protocol that has committed the end of every partition.
func refereeConsumerProtocol(c *cell) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		admin := kadm.NewClient(k)
		if err := expectType(ctx, admin, c.group, "consumer"); err != nil {
			return err
		}
		return expectAllCommitted(ctx, admin, c.group, c.topic)
	})
}

func expectType(ctx context.Context, admin *kadm.Client, group, want string) error {
	groups, err := admin.ListGroupsByType(ctx, []string{want})
	if _, ok := groups[group]; err == nil && !ok {
		err = fmt.Errorf("group %s is not listed as one of type %s", group, want)
	}
	return err
}

func expectAllCommitted(ctx context.Context, admin *kadm.Client, group, topic string) error {
	committed, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	for partition, end := range ends[topic] {
		if at, ok := committed.Lookup(topic, partition); !ok || at.At != end.Offset {
			return fmt.Errorf("partition %d: the group has committed %d of %d", partition, at.At, end.Offset)
		}
	}
	return nil
}
