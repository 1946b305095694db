package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newGroupCommand(s *session) *cobra.Command {
	return noun("group", "groups", "Look at consumer groups, move their offsets, remove members",
		`  millrace group list
  millrace group lag billing --watch
  millrace group seek billing --to start --dry-run`,
		newGroupListCommand(s), newGroupDescribeCommand(s), newGroupLagCommand(s), newGroupSeekCommand(s),
		newGroupOffsetDeleteCommand(s), newGroupDeleteCommand(s), newGroupMembersCommand(s), newGroupKickCommand(s))
}

// groupLags describes the groups with their lag. A group that does not exist is an error of its own.
func (s *session) groupLags(ctx context.Context, admin *kadm.Client, groups ...string) ([]kadm.DescribedGroupLag, *itemErrors, error) {
	missing := &itemErrors{}
	lags, err := admin.Lag(ctx, groups...)
	if err != nil && len(lags) == 0 {
		return nil, missing, fmt.Errorf("describe groups: %w", err)
	}
	var out []kadm.DescribedGroupLag
	for _, l := range lags.Sorted() {
		if l.State == "Dead" || errors.Is(l.DescribeErr, kerr.GroupIDNotFound) {
			other, ok, err := consumerLag(ctx, admin, l.Group)
			if err == nil && !ok {
				other, ok, err = s.streamsLag(ctx, admin, l)
			}
			if err != nil {
				return nil, missing, err
			}
			if ok {
				l = other
			}
		}
		if err := groupTrouble(l); err != nil {
			missing.add("group "+l.Group, err)
			continue
		}
		out = append(out, l)
	}
	if len(groups) == 0 {
		streams, err := s.allStreamsLags(ctx, admin)
		if err != nil {
			return nil, missing, err
		}
		out = append(out, streams...)
	}
	return out, missing, nil
}

// groupTrouble is why there is nothing to tell about the group; a Dead group is one that does not exist.
func groupTrouble(l kadm.DescribedGroupLag) error {
	if l.State == "Dead" || errors.Is(l.DescribeErr, kerr.GroupIDNotFound) {
		return notFoundf("it does not exist\nList groups: millrace group list")
	}
	return firstError(l.DescribeErr, l.FetchErr)
}

// oneGroup returns the group with its lag.
func (s *session) oneGroup(ctx context.Context, admin *kadm.Client, name string) (kadm.DescribedGroupLag, error) {
	found, missing, err := s.groupLags(ctx, admin, name)
	if err != nil {
		return kadm.DescribedGroupLag{}, err
	}
	if err := missing.err(); err != nil {
		return kadm.DescribedGroupLag{}, err
	}
	if len(found) == 0 {
		return kadm.DescribedGroupLag{}, notFoundf("group %s does not exist\nList groups: millrace group list", quote(name))
	}
	return found[0], nil
}

type lagRow struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed *int64 `json:"committed_offset"`
	Start     *int64 `json:"start_offset"`
	End       *int64 `json:"end_offset"`
	Lag       *int64 `json:"lag"`
	MemberID  string `json:"member_id,omitempty"`
	ClientID  string `json:"client_id,omitempty"`
	Host      string `json:"host,omitempty"`
	Error     string `json:"error,omitempty"`
}

// lagRows is one row per partition, by topic and partition.
func lagRows(l kadm.DescribedGroupLag) []lagRow {
	rows := []lagRow{}
	for _, p := range l.Lag.Sorted() {
		row := lagRow{Group: l.Group, Topic: p.Topic, Partition: p.Partition}
		if p.Commit.At >= 0 {
			row.Committed = &p.Commit.At
		}
		if p.Start.Err == nil {
			row.Start = &p.Start.Offset
		}
		if p.End.Err == nil {
			row.End = &p.End.Offset
		}
		if p.Lag >= 0 {
			row.Lag = &p.Lag
		}
		if p.Err != nil {
			row.Error = p.Err.Error()
		}
		if p.Member != nil {
			row.MemberID, row.ClientID, row.Host = p.Member.MemberID, p.Member.ClientID, strings.TrimPrefix(p.Member.ClientHost, "/")
		}
		rows = append(rows, row)
	}
	return rows
}

func lagTable(rows []lagRow) *table {
	t := newTable("TOPIC", "PARTITION", "COMMITTED", "+START", "END", "LAG", "CLIENT", "HOST", "+MEMBER", "+ERROR")
	for _, r := range rows {
		t.row(r.Topic, r.Partition, orDash(r.Committed), orDash(r.Start), orDash(r.End), orDash(r.Lag), dash(r.ClientID), dash(r.Host), dash(r.MemberID), dash(r.Error))
	}
	return t
}

func orDash(n *int64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprint(*n)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// activeMembers names the members that keep a group from being changed.
func activeMembers(l kadm.DescribedGroupLag) string {
	var names []string
	for _, m := range l.Members {
		names = append(names, fmt.Sprintf("%s at %s (%s)", printable(m.ClientID), strings.TrimPrefix(m.ClientHost, "/"), printable(m.MemberID)))
	}
	slices.Sort(names)
	const shown = 5
	if len(names) > shown {
		names = append(names[:shown], fmt.Sprintf("and %d more", len(names)-shown))
	}
	return strings.Join(names, ", ")
}

// refuseActive says who is in the group: offsets of a live group would be overwritten by its members.
func refuseActive(l kadm.DescribedGroupLag, verb string) error {
	if len(l.Members) == 0 {
		return nil
	}
	return &failure{code: exitFailed, message: fmt.Sprintf("group %s has %s and cannot be %s: %s\nStop them first, or remove them: millrace group kick %s --all",
		quote(l.Group), plural(len(l.Members), "active member"), verb, activeMembers(l), l.Group)}
}

// parseTopicPartitions reads topic or topic:0,1 words. No partitions means all of the topic.
func parseTopicPartitions(words []string) (map[string][]int32, error) {
	out := map[string][]int32{}
	for _, word := range words {
		topic, list, ok := strings.Cut(word, ":")
		if topic == "" {
			return nil, usagef("%s: want TOPIC or TOPIC:0,1", quote(word))
		}
		out[topic] = append(out[topic], []int32{}...)
		if !ok {
			continue
		}
		for _, text := range strings.Split(list, ",") {
			var p int32
			if _, err := fmt.Sscanf(text, "%d", &p); err != nil || p < 0 || fmt.Sprint(p) != text {
				return nil, usagef("%s: %s is no partition number", quote(word), quote(text))
			}
			out[topic] = append(out[topic], p)
		}
	}
	return out, nil
}

// chosen tells whether the words select the partition; no words select everything.
func chosen(selection map[string][]int32, topic string, partition int32) bool {
	if len(selection) == 0 {
		return true
	}
	partitions, ok := selection[topic]
	return ok && (len(partitions) == 0 || slices.Contains(partitions, partition))
}
