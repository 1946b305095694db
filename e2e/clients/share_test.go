//go:build e2e

package clients

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// sharers is a driver with members of share groups that answers each line with one.
type sharers struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string
	stderr strings.Builder // read after the end
}

func startSharers(command ...string) (*sharers, error) {
	s := &sharers{cmd: exec.Command(command[0], command[1:]...), lines: make(chan string)}
	s.cmd.Stderr = &s.stderr
	s.cmd.WaitDelay = time.Second
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			s.lines <- in.Text()
		}
	}()
	return s, nil
}

// do says one line and returns the words of the answer.
func (s *sharers) do(format string, args ...any) ([]string, error) {
	if _, err := fmt.Fprintf(s.in, format+"\n", args...); err != nil {
		return nil, err
	}
	select {
	case line, ok := <-s.lines:
		if word := strings.Fields(line); ok && len(word) > 0 && word[0] != "failed" {
			return word, nil
		}
		return nil, fmt.Errorf("%s: answered by %q", fmt.Sprintf(format, args...), line)
	case <-time.After(90 * time.Second):
		return nil, fmt.Errorf("%s: no answer", fmt.Sprintf(format, args...))
	}
}

// poll returns the keys that a member got, each with its delivery count.
func (s *sharers) poll(name string) (keys []string, counts []int, err error) {
	words, err := s.do("poll %s", name)
	if err != nil {
		return nil, nil, err
	}
	for _, word := range words[1:] {
		key, count, _ := strings.Cut(word, "/")
		n, err := strconv.Atoi(count)
		if err != nil {
			return nil, nil, fmt.Errorf("the delivery count of %s: %w", word, err)
		}
		keys, counts = append(keys, key), append(counts, n)
	}
	return keys, counts, nil
}

// confirmed sends a member's acknowledgements and expects that none is refused.
func (s *sharers) confirmed(name string) error {
	words, err := s.do("commit %s", name)
	if err == nil && words[0] != "ok" {
		err = fmt.Errorf("acknowledgements of %s were refused: %v", name, words)
	}
	return err
}

func (s *sharers) end() error {
	_ = s.in.Close()
	hanging := time.AfterFunc(60*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer hanging.Stop()
	for range s.lines {
	}
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the driver ends with %w: %s", err, shorten(s.stderr.String()))
	}
	return nil
}

// playShareGroups has members of one client acknowledge in every way, share a partition, and lose what they hold too long.
func playShareGroups(c *cell) error {
	s, err := startSharers(c.client.leads("sharers", c.address)...)
	if err != nil {
		return err
	}
	err = inTurn(
		func() error { return configureGroup(c, c.group, "share.auto.offset.reset", "earliest") },
		func() error { return acknowledge(c, s) },
		func() error { return divide(c, s) },
		func() error { return outlast(c, s) },
	)
	err = errors.Join(err, s.end())
	if err == nil {
		err = refereeShareGroups(c)
	}
	return err
}

// pollUntil polls a member until done; each record is given to handle.
func (s *sharers) pollUntil(what, name string, done func() bool, handle func(key string, count int) error) error {
	for deadline := time.Now().Add(90 * time.Second); !done(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited for: %s", what)
		}
		keys, counts, err := s.poll(name)
		if err != nil {
			return err
		}
		for i, key := range keys {
			if err := handle(key, counts[i]); err != nil {
				return err
			}
		}
		if err := s.confirmed(name); err != nil {
			return err
		}
	}
	return nil
}

// acknowledge releases one record twice and another always, up to the limit of deliveries, and rejects one.
func acknowledge(c *cell, s *sharers) error {
	got := map[string][]int{}
	answer := func(key string, count int) error {
		got[key] = append(got[key], count)
		how := "accept"
		switch {
		case key == "twice" && count < 3, key == "always":
			how = "release"
		case key == "reject":
			how = "reject"
		}
		_, err := s.do("ack x %s %s", key, how)
		return err
	}
	err := inTurn(
		func() error { return send(c, c.topic, 1, "twice", "reject", "accept", "always") },
		func() error { _, err := s.do("join x explicit %s %s", c.group, c.topic); return err },
		func() error {
			return s.pollUntil("five deliveries", "x", func() bool { return len(got["twice"]) >= 3 && len(got["always"]) >= 5 }, answer)
		},
		func() error { return send(c, c.topic, 1, "end") },
		func() error {
			return s.pollUntil("the record after", "x", func() bool { return len(got["end"]) > 0 }, answer)
		},
		func() error { _, err := s.do("leave x"); return err },
	)
	want := map[string][]int{"twice": {1, 2, 3}, "reject": {1}, "accept": {1}, "always": {1, 2, 3, 4, 5}, "end": {1}}
	if err == nil && !reflect.DeepEqual(got, want) {
		err = fmt.Errorf("deliveries were counted as %v, want %v", got, want)
	}
	return err
}

// divide has two members with implicit acknowledgement share the partition until both have got some: each record comes once.
func divide(c *cell, s *sharers) error {
	for _, name := range []string{"y", "z"} {
		if _, err := s.do("join %s implicit %s %s", name, c.group, c.topic); err != nil {
			return err
		}
	}
	seen, by, sent := map[string]int{}, map[string]int{}, 0
	deadline := time.Now().Add(90 * time.Second)
	for by["y"] < 20 || by["z"] < 20 || len(seen) < sent {
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d records came, %v", len(seen), sent, by)
		}
		if len(seen) == sent {
			var keys []string
			for i := range 10 {
				keys = append(keys, fmt.Sprintf("shared-%d", sent+i))
			}
			if err := send(c, c.topic, 1, keys...); err != nil {
				return err
			}
			sent += len(keys)
		}
		for _, name := range []string{"y", "z"} {
			keys, _, err := s.poll(name)
			if err != nil {
				return err
			}
			for _, key := range keys {
				seen[key]++
				by[name]++
			}
		}
	}
	for key, times := range seen {
		if times > 1 {
			return fmt.Errorf("record %s came %d times", key, times)
		}
	}
	for _, name := range []string{"y", "z"} {
		if err := s.confirmed(name); err != nil {
			return err
		}
		if _, err := s.do("leave %s", name); err != nil {
			return err
		}
	}
	return nil
}

// answers has a member say something of a record and expects that it is confirmed.
func (s *sharers) answers(name, key, how string) error {
	if _, err := s.do("ack %s %s %s", name, key, how); err != nil {
		return err
	}
	return s.confirmed(name)
}

// holds polls until the member has exactly that record, delivered at least that often, and returns how often that is.
func (s *sharers) holds(name, want string, least int) (count int, err error) {
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); {
		keys, counts, err := s.poll(name)
		if err != nil {
			return 0, err
		}
		if len(keys) > 0 && (len(keys) > 1 || keys[0] != want || counts[0] < least) {
			return 0, fmt.Errorf("%s got %v, delivered %v times, want %s", name, keys, counts, want)
		}
		if len(keys) > 0 {
			return counts[0], nil
		}
	}
	return 0, fmt.Errorf("%s waited for %s", name, want)
}

func configureGroup(c *cell, group string, settings ...string) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		resource := kmsg.NewIncrementalAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
		for i := 0; i < len(settings); i += 2 {
			resource.Configs = append(resource.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: settings[i], Value: &settings[i+1]})
		}
		request := kmsg.NewPtrIncrementalAlterConfigsRequest()
		request.Resources = append(request.Resources, resource)
		answer, err := request.RequestWith(ctx, k)
		if err == nil && answer.Resources[0].ErrorCode != 0 {
			err = fmt.Errorf("configure group %s: code %d", group, answer.Resources[0].ErrorCode)
		}
		return err
	})
}

// refereeShareGroups expects a share group for which everything is through.
func refereeShareGroups(c *cell) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		admin := kadm.NewClient(k)
		if err := expectType(ctx, admin, c.group, "share"); err != nil {
			return err
		}
		request := kmsg.NewPtrDescribeShareGroupOffsetsRequest()
		request.Groups = []kmsg.DescribeShareGroupOffsetsRequestGroup{{GroupID: c.group}}
		answer, err := request.RequestWith(ctx, k)
		if err != nil {
			return err
		}
		ends, err := admin.ListEndOffsets(ctx, c.topic)
		if err != nil {
			return err
		}
		if end, _ := ends.Lookup(c.topic, 0); len(answer.Groups[0].Topics) != 1 || answer.Groups[0].Topics[0].Partitions[0].StartOffset != end.Offset {
			return fmt.Errorf("the group is at %+v, want the end, %d", answer.Groups[0].Topics, end.Offset)
		}
		return nil
	})
}
