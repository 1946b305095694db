package main

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newTopicCommand(s *session) *cobra.Command {
	return noun("topic", "topics", "Create, look at, change and delete topics",
		`  millrace topic create orders --partitions 6 --config retention.ms=86400000
  millrace topic describe orders
  millrace topic delete orders --dry-run`,
		newTopicListCommand(s), newTopicDescribeCommand(s), newTopicCreateCommand(s), newTopicDeleteCommand(s),
		newTopicAlterCommand(s), newTopicAddPartitionsCommand(s), newTopicSetReplicasCommand(s), newTopicTrimCommand(s), newTopicAnalyzeCommand(s),
		newProduceCommand(s), newConsumeCommand(s))
}

// outcome is what became of one item of a verb that changes several.
type outcome struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
}

// outcomes collects them for output, and their errors for the exit code.
type outcomes struct {
	list   []outcome
	failed itemErrors
}

func (o *outcomes) add(kind, name, status string, err error) {
	item := outcome{Name: name, Status: status}
	if err != nil {
		item.Status, item.Error = "failed", firstLine(err.Error())
		o.failed.add(kind+" "+name, err)
	}
	o.list = append(o.list, item)
}

// absorb takes over the failures of looking the items up.
func (o *outcomes) absorb(kind string, missing *itemErrors) {
	for i, item := range missing.items {
		o.failed.items = append(o.failed.items, item)
		o.failed.errs = append(o.failed.errs, missing.errs[i])
		o.list = append(o.list, outcome{Name: strings.TrimPrefix(item, kind+" "), Status: "failed", Error: firstLine(missing.errs[i].Error())})
	}
}

func (o *outcomes) print(s *session, cmd *cobra.Command, heading string) error {
	t := newTable(heading, "STATUS")
	for _, item := range o.list {
		t.row(item.Name, item.Status)
	}
	if err := s.print(cmd, o.list, t); err != nil {
		return err
	}
	return o.failed.err()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// findTopics returns the named topics in the order of their names, and an error for each that is not there.
// With byPattern the names are regular expressions that must match a whole name. No name means every topic.
func findTopics(ctx context.Context, admin *kadm.Client, names []string, byPattern, internal bool) ([]kadm.TopicDetail, *itemErrors, error) {
	missing := &itemErrors{}
	ask := names
	if byPattern {
		ask = nil
	}
	details, err := admin.ListTopicsWithInternal(ctx, ask...)
	if err != nil {
		return nil, missing, err
	}
	if !internal && len(ask) == 0 {
		details.FilterInternal()
	}
	found := details.Sorted()
	if byPattern {
		patterns, err := wholeNamePatterns(names)
		if err != nil {
			return nil, missing, err
		}
		return slices.DeleteFunc(found, func(t kadm.TopicDetail) bool { return !matchesAny(patterns, t.Topic) }), missing, nil
	}
	return slices.DeleteFunc(found, func(t kadm.TopicDetail) bool {
		missing.add("topic "+t.Topic, t.Err)
		return t.Err != nil
	}), missing, nil
}

func wholeNamePatterns(names []string) ([]*regexp.Regexp, error) {
	var out []*regexp.Regexp
	for _, name := range names {
		re, err := regexp.Compile("^(?:" + name + ")$")
		if err != nil {
			return nil, usagef("%s is no regular expression: %v", quote(name), err)
		}
		out = append(out, re)
	}
	return out, nil
}

func matchesAny(patterns []*regexp.Regexp, name string) bool {
	return slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(name) })
}

// oneTopic returns the topic or a not-found error that says which names are near.
func oneTopic(ctx context.Context, admin *kadm.Client, name string) (kadm.TopicDetail, error) {
	details, err := admin.ListTopicsWithInternal(ctx, name)
	if err != nil {
		return kadm.TopicDetail{}, err
	}
	detail := details[name]
	if detail.Err == kerr.UnknownTopicOrPartition || detail.Err == nil && len(detail.Partitions) == 0 {
		return detail, notFoundf("topic %s does not exist\nCreate it: millrace topic create %s    List topics: millrace topic list", quote(name), name)
	}
	return detail, brokerError(detail.Err, "")
}

// parsePairs reads key=value words.
func parsePairs(flag string, pairs []string) ([][2]string, error) {
	var out [][2]string
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, usagef("%s %s: want key=value", flag, pair)
		}
		out = append(out, [2]string{key, value})
	}
	return out, nil
}
