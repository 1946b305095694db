package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// topics creates, lists, grows and deletes a topic.
func topics(ctx context.Context, c Client, o *Options) error {
	a, err := c.Admin()
	if err != nil {
		return err
	}
	if err := a.CreateTopic(ctx, o.Topic, 3, map[string]string{"retention.ms": "3600000"}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := awaitPartitions(ctx, a, o.Topic, 3); err != nil {
		return err
	}
	if a.CreateTopic(ctx, o.Topic, 3, nil) == nil {
		return errors.New("a topic was created twice")
	}
	if err := a.AddPartitions(ctx, o.Topic, 5); err == nil {
		if err := awaitPartitions(ctx, a, o.Topic, 5); err != nil {
			return err
		}
	} else if !errors.Is(err, ErrLacks) {
		return fmt.Errorf("add partitions: %w", err)
	}
	if err := a.DeleteTopic(ctx, o.Topic); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return awaitPartitions(ctx, a, o.Topic, 0)
}

func awaitPartitions(ctx context.Context, a Admin, topic string, want int) error {
	var got int
	var last error
	err := await(ctx, fmt.Sprintf("topic %s has %d partitions", topic, want), func() bool {
		all, err := a.Partitions(ctx)
		got, last = all[topic], err
		return err == nil && got == want
	})
	if err != nil {
		return fmt.Errorf("%w: has %d, %v", err, got, last)
	}
	return nil
}

// configs reads, changes and reads again a key of a topic, and expects nonsense to be refused.
func configs(ctx context.Context, c Client, o *Options) error {
	a, err := c.Admin()
	if err != nil {
		return err
	}
	if got, err := a.Config(ctx, o.Topic, "retention.ms"); err != nil || got != "604800000" {
		return fmt.Errorf("retention.ms is %q, want its default: %v", got, err)
	}
	if err := a.SetConfig(ctx, o.Topic, "retention.ms", "7200000"); err != nil {
		return fmt.Errorf("alter: %w", err)
	}
	err = await(ctx, "the change is seen", func() bool {
		got, err := a.Config(ctx, o.Topic, "retention.ms")
		return err == nil && got == "7200000"
	})
	if err != nil {
		return err
	}
	if a.SetConfig(ctx, o.Topic, "retention.ms", "soon") == nil {
		return errors.New("retention.ms=soon was accepted")
	}
	return nil
}

// groups makes a group with a commit, looks at it and deletes it.
func groups(ctx context.Context, c Client, o *Options) error {
	o.Count = 10
	if err := commits(ctx, c, o); err != nil {
		return err
	}
	a, err := c.Admin()
	if err != nil {
		return err
	}
	if all, err := a.Groups(ctx); err != nil || !slices.Contains(all, o.Group) {
		return fmt.Errorf("groups are %v: %v", all, err)
	}
	err = await(ctx, "the group is empty", func() bool {
		state, err := a.GroupState(ctx, o.Group)
		return err == nil && strings.EqualFold(state, "empty")
	})
	if err != nil {
		return err
	}
	if got, err := a.Committed(ctx, o.Group, o.Topic); err != nil || got != 20 {
		return fmt.Errorf("committed offset is %d, want 20: %v", got, err)
	}
	if err := a.DeleteGroup(ctx, o.Group); errors.Is(err, ErrLacks) {
		return nil
	} else if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if all, err := a.Groups(ctx); err != nil || slices.Contains(all, o.Group) {
		return fmt.Errorf("the group is still there: %v", err)
	}
	return nil
}

// deleteRecords cuts the start of a filled topic and expects to read what is left.
func deleteRecords(ctx context.Context, c Client, o *Options) error {
	a, err := c.Admin()
	if err != nil {
		return err
	}
	if err := a.DeleteRecords(ctx, o.Topic, int64(o.Count/2)); err != nil {
		return err
	}
	got, err := c.Read(ctx, o.Topic, Start{At: "start"}, o.Count/2, func() error { return nil })
	if err != nil {
		return err
	}
	return expectFill(got, o.Count/2)
}
