//go:build e2e

package clients

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// mover is a member that is moved from one group protocol to the other and back: each time it leaves, and comes again under
// another name.
type mover struct {
	company  *company
	name     string
	instance string // "-": a dynamic member
	moves    bool   // to the consumer protocol; the others speak the classic one all the time
	turn     int
}

func (m *mover) now() string { return fmt.Sprintf("%s%d", m.name, m.turn) }

// TestMigrationOfGroups moves the members of classic groups to the consumer protocol, one by one, and back, while records
// flow. After each move the partitions are divided among all; at the end nothing was missed, and nothing that was committed
// came again.
func TestMigrationOfGroups(t *testing.T) {
	address := startServer(t)
	java, python := javaRow(t, "Java"), pythonRow(t, "Python", pythonPackage, nil)
	for _, test := range []struct {
		name   string
		movers func(start func(*client) *company) []*mover
	}{
		{"Java", func(start func(*client) *company) []*mover {
			c := start(java)
			return []*mover{{c, "a", "-", true, 0}, {c, "b", "one", true, 0}, {c, "c", "-", true, 0}, {c, "d", "two", true, 0}}
		}},
		{"Java beside classic librdkafka", func(start func(*client) *company) []*mover {
			c, classic := start(java), start(python)
			return []*mover{{c, "a", "-", true, 0}, {classic, "p", "-", false, 0}, {c, "b", "one", true, 0}, {classic, "q", "two", false, 0}}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			slug := strings.ReplaceAll(strings.ToLower(test.name), " ", "-")
			m := &migration{cell: &cell{address: address, topic: "moving." + slug, group: "movers." + slug}, ledger: newLedger()}
			var started []*company
			m.movers = test.movers(func(of *client) *company {
				c, err := startCompany(m.ledger, of.leads("members", address)...)
				if err != nil {
					t.Fatal(err)
				}
				started = append(started, c)
				return c
			})
			err := m.run()
			for _, c := range started {
				err = errors.Join(err, c.end())
			}
			if err == nil {
				err = m.ledger.onlyOnce()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

type migration struct {
	cell   *cell
	ledger *ledger
	movers []*mover
}

const movingPartitions = 8

func (m *migration) run() error {
	if err := createTopic(m.cell, m.cell.topic, movingPartitions); err != nil {
		return err
	}
	flow := startLoad(m.cell.address, m.cell.topic, movingPartitions)
	err := inTurn(m.allJoin, m.settled, m.isOf("classic"),
		m.moveAll("consumer"), m.isOf("consumer"),
		m.moveAll("classic"), m.isOf("classic"),
	)
	values, flowed := flow.end()
	if err = errors.Join(err, flowed); err != nil {
		return err
	}
	return inTurn(func() error { return m.ledger.sawAll(values...) }, m.settled)
}

func (m *migration) allJoin() error {
	for _, member := range m.movers {
		if err := m.join(member, "classic"); err != nil {
			return err
		}
	}
	return nil
}

func (m *migration) join(member *mover, protocol string) error {
	return member.company.join(member.now(), protocol, m.cell.group, member.instance, m.cell.topic)
}

// settled waits until every member has its share.
func (m *migration) settled() error {
	var names []string
	for _, member := range m.movers {
		names = append(names, member.now())
	}
	return m.ledger.divided(m.cell.topic, movingPartitions, names...)
}

// moveAll moves one member after the other.
func (m *migration) moveAll(protocol string) func() error {
	return func() error {
		for _, member := range m.movers {
			if !member.moves {
				continue
			}
			if err := member.company.leave(member.now()); err != nil {
				return err
			}
			member.turn++
			if err := inTurn(func() error { return m.join(member, protocol) }, m.settled, func() error { return receive(m.ledger, member.now()) }); err != nil {
				return fmt.Errorf("%s moves to the %s protocol: %w", member.name, protocol, err)
			}
		}
		return nil
	}
}

// isOf expects the group to be of that type.
func (m *migration) isOf(kind string) func() error {
	return func() error {
		return withClient(m.cell, func(ctx context.Context, k *kgo.Client) error {
			return expectType(ctx, kadm.NewClient(k), m.cell.group, kind)
		})
	}
}
