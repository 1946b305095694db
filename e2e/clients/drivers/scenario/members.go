package scenario

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// Membership is how a member joins a group.
type Membership struct {
	Protocol string // classic or consumer
	Group    string
	Instance string // empty: a dynamic member
	Topics   string // a topic, or a regular expression that begins with ^
}

// GroupClient is a client that can choose the group protocol.
type GroupClient interface {
	JoinGroup(m Membership) (GroupMember, error)
}

// GroupMember is a member that tells what it has.
type GroupMember interface {
	Member
	Assigned() ([]string, error) // TOPIC-PARTITION each
}

// company is members that come and go as standard input says, and tell on standard output what they see. The lines are in
// README.md.
type company struct {
	client  GroupClient
	running sync.WaitGroup
	output  sync.Mutex
	leave   map[string]context.CancelFunc
}

func members(client Client) error {
	c := &company{leave: map[string]context.CancelFunc{}}
	var ok bool
	if c.client, ok = client.(GroupClient); !ok {
		return ErrLacks
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		word := strings.Fields(in.Text())
		if word[0] == "leave" {
			c.leave[word[1]]()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		c.leave[word[1]] = cancel
		how := Membership{Protocol: word[2], Group: word[3], Instance: strings.TrimPrefix(word[4], "-"), Topics: word[5]}
		c.running.Go(func() { c.run(ctx, word[1], how) })
	}
	for _, leave := range c.leave {
		leave()
	}
	c.running.Wait()
	return nil
}

func (c *company) tell(what, name string, words ...string) {
	c.output.Lock()
	defer c.output.Unlock()
	fmt.Println(strings.Join(append([]string{what, name}, words...), " "))
}

func (c *company) run(ctx context.Context, name string, how Membership) {
	m, err := c.client.JoinGroup(how)
	if err == nil {
		err = c.work(ctx, name, m)
	}
	if err == nil {
		err = m.Close()
	}
	if err != nil {
		c.tell("failed", name, err.Error())
		return
	}
	c.tell("left", name)
}

// work polls and commits until ctx ends, upon which nothing that was polled is left uncommitted.
func (c *company) work(ctx context.Context, name string, m GroupMember) error {
	var assigned []string
	for ctx.Err() == nil {
		records, err := m.Poll(context.WithoutCancel(ctx))
		if err != nil {
			return err
		}
		now, err := m.Assigned()
		if err != nil {
			return err
		}
		if slices.Sort(now); !slices.Equal(now, assigned) {
			assigned = now
			c.tell("assigned", name, assigned...)
		}
		var values []string
		for _, r := range records {
			values = append(values, string(r.Value))
		}
		if len(values) > 0 {
			c.tell("seen", name, values...)
		}
		if err := m.Commit(context.WithoutCancel(ctx)); err != nil && len(values) > 0 {
			c.tell("uncommitted", name, values...) // they may come again
		}
	}
	return nil
}
