package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// memberChecks tell of brokers that are registered and away, or on their way out, and of the metadata quorum.
func memberChecks(ctx context.Context, client *kgo.Client, admin *kadm.Client) []check {
	list, _, err := members(ctx, client)
	if err != nil {
		return nil // an older cluster does not tell
	}
	var fenced, draining []string
	for _, m := range list {
		switch {
		case m.fenced:
			fenced = append(fenced, strconv.Itoa(int(m.id)))
		case brokerSettings(ctx, admin, m.id)[drainSetting] == "true":
			draining = append(draining, strconv.Itoa(int(m.id)))
		}
	}
	var out []check
	if len(fenced) > 0 {
		out = append(out, check{Name: "fenced brokers", Status: checkFail, Detail: "registered, but fenced: " + someOf(fenced),
			Why: "they lead nothing and are in sync with nothing", Fix: "start them again, or remove them: millrace cluster decommission BROKER"})
	}
	if len(draining) > 0 {
		out = append(out, check{Name: "draining brokers", Status: checkWarn, Detail: "being emptied: " + someOf(draining),
			Why: "they take no replicas", Fix: "see what is moving: millrace cluster reassign list"})
	}
	if c, ok := quorumCheck(ctx, client, list); ok {
		out = append(out, c)
	}
	return out
}

const (
	quorumCheckName = "quorum"
	whyQuorumLost   = "nothing can be created, changed or elected"
)

// quorumLost reports whether the quorum was asked for its leader and had none.
func quorumLost(checks []check) bool {
	return slices.ContainsFunc(checks, func(c check) bool { return c.Name == quorumCheckName && c.Why == whyQuorumLost })
}

// quorumCheck looks whether the metadata quorum has a leader and how many voters it can lose.
func quorumCheck(ctx context.Context, client *kgo.Client, list []clusterMember) (check, bool) {
	info, err := describeQuorum(ctx, client)
	if errors.Is(err, kerr.UnsupportedVersion) || errors.Is(err, kerr.ClusterAuthorizationFailed) || len(list) < 2 {
		return check{}, false
	}
	failed := check{Name: quorumCheckName, Status: checkFail, Why: whyQuorumLost, Fix: "start the voters that are missing: millrace cluster quorum"}
	if err != nil {
		failed.Detail = firstLine(err.Error())
		return failed, true
	}
	if info.Leader < 0 {
		failed.Detail = "it has no leader"
		return failed, true
	}
	voters, away := 0, []string{}
	for _, r := range info.Replicas {
		if !r.votes() {
			continue
		}
		voters++
		alive := slices.ContainsFunc(list, func(m clusterMember) bool { return m.id == r.ID && !m.fenced })
		if !alive || info.silent(r) {
			away = append(away, strconv.Itoa(int(r.ID)))
		}
	}
	spare := (voters-1)/2 - len(away)
	detail := fmt.Sprintf("node %d leads %s", info.Leader, plural(voters, "voter"))
	if len(away) > 0 {
		return check{Name: quorumCheckName, Status: checkFail, Detail: fmt.Sprintf("%s, away: %s, %s more may fail", detail, someOf(away), plural(max(spare, 0), "voter")),
			Why: "without a majority nothing can be created, changed or elected", Fix: "start the voters that are missing"}, true
	}
	return passed(quorumCheckName, "%s, %d may fail", detail, spare), true
}

// minISRCheck tells of partitions that refuse acks=all.
func minISRCheck(ctx context.Context, admin *kadm.Client, meta kadm.Metadata) (check, bool) {
	short := map[string][]kadm.PartitionDetail{}
	meta.Topics.EachPartition(func(p kadm.PartitionDetail) {
		if p.Leader >= 0 && len(p.ISR) < len(p.Replicas) {
			short[p.Topic] = append(short[p.Topic], p)
		}
	})
	if len(short) == 0 {
		return check{}, false
	}
	names := make([]string, 0, len(short))
	for name := range short {
		names = append(names, name)
	}
	resources, _ := admin.DescribeTopicConfigs(ctx, names...) // what is not told is not judged
	var under []string
	for _, r := range resources {
		for _, c := range r.Configs {
			if c.Key != "min.insync.replicas" {
				continue
			}
			least, _ := strconv.Atoi(c.MaybeValue())
			for _, p := range short[r.Name] {
				if len(p.ISR) < min(least, len(p.Replicas)) {
					under = append(under, partitionName(p))
				}
			}
		}
	}
	if len(under) == 0 {
		return check{}, false
	}
	return check{Name: "min in-sync replicas", Status: checkFail, Detail: fmt.Sprintf("%d with fewer than min.insync.replicas: %s", len(under), someOf(under)),
		Why: "producers with acks=all are refused", Fix: "start the brokers that hold their replicas: millrace cluster partitions list --under-replicated"}, true
}
