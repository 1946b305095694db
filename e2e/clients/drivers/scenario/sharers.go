package scenario

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// ShareClient is a client that has share groups.
type ShareClient interface {
	JoinShare(mode, group, topic string) (ShareMember, error)
}

// ShareMember is a member of a share group. Its records are named by their keys.
type ShareMember interface {
	Poll(ctx context.Context) ([]Shared, error)
	Acknowledge(key, how string) error            // accept, release, reject, renew
	Commit(ctx context.Context) ([]string, error) // sends what was acknowledged and returns what was refused
	Close() error
}

// Shared is a record that a member of a share group was given.
type Shared struct {
	Key           string
	DeliveryCount int32
}

// sharers are members of share groups that do what standard input says, and answer each line with one on standard output; see
// README.md.
func sharers(client Client) error {
	c, ok := client.(ShareClient)
	if !ok {
		return ErrLacks
	}
	members := map[string]ShareMember{}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		answer, err := obey(c, members, strings.Fields(in.Text()))
		if err != nil {
			answer = "failed " + err.Error()
		}
		fmt.Println(answer)
	}
	return nil
}

func obey(c ShareClient, members map[string]ShareMember, word []string) (string, error) {
	ctx, m := context.Background(), members[word[1]]
	switch word[0] {
	case "join":
		m, err := c.JoinShare(word[2], word[3], word[4])
		members[word[1]] = m
		return "ok", err
	case "poll":
		records, err := m.Poll(ctx)
		answer := "got"
		for _, r := range records {
			answer += fmt.Sprintf(" %s/%d", r.Key, r.DeliveryCount)
		}
		return answer, err
	case "ack":
		return "ok", m.Acknowledge(word[2], word[3])
	case "commit":
		refused, err := m.Commit(ctx)
		if len(refused) > 0 {
			return "refused " + strings.Join(refused, " "), err
		}
		return "ok", err
	case "leave":
		return "ok", m.Close()
	}
	return "", errors.New("no such verb")
}
