package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// check is one thing that health and doctor look at: what was seen, why it matters, and what to do.
type check struct {
	Name   string `json:"check"`
	Status string `json:"status"` // ok, warn or fail
	Detail string `json:"detail"`
	Why    string `json:"why,omitempty"`
	Fix    string `json:"fix,omitempty"`
}

const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

func passed(name, format string, args ...any) check {
	return check{Name: name, Status: checkOK, Detail: fmt.Sprintf(format, args...)}
}

const fixAdvertised = "start the broker, or have it advertise an address that this machine reaches (advertised.listeners)"

// anyFailed tells whether the exit code is 10.
func anyFailed(checks []check) bool {
	return slices.ContainsFunc(checks, func(c check) bool { return c.Status == checkFail })
}

// clusterChecks are what can be seen of a cluster's health through the Kafka protocol.
func clusterChecks(ctx context.Context, cfg *settings, client *kgo.Client) []check {
	admin := kadm.NewClient(client)
	meta, err := admin.Metadata(ctx)
	if err != nil {
		if advertised := explainAdvertised(ctx, cfg); advertised != "" {
			return []check{{Name: "brokers", Status: checkFail, Detail: firstLine(advertised), Why: "clients use the advertised address after the first contact", Fix: fixAdvertised}}
		}
		return []check{{Name: "metadata", Status: checkFail, Detail: err.Error(), Why: "without metadata no client can produce or consume", Fix: "look at the broker's log"}}
	}
	brokers, silent := brokerChecks(ctx, cfg, meta)
	members := memberChecks(ctx, client, admin)
	var adding map[topicPartition][]int32
	if quorumLost(members) { // nobody fences or elects, and what metadata says of leaders is how it was
		meta.Controller = -1
		withoutSilent(meta, silent)
	} else {
		adding = addingReplicas(ctx, client)
	}
	checks := slices.Concat([]check{controllerCheck(meta)}, brokers, members, partitionChecks(meta, adding))
	if c, short := minISRCheck(ctx, admin, meta); short {
		checks = append(checks, c)
	}
	return slices.Concat(checks, logdirChecks(ctx, admin), logFaultChecks(ctx, client, meta))
}

func controllerCheck(meta kadm.Metadata) check {
	if meta.Controller < 0 {
		return check{Name: "controller", Status: checkFail, Detail: "no controller is known", Why: "topics cannot be created and leaders not elected",
			Fix: "see the quorum: millrace cluster quorum"}
	}
	return passed("controller", "broker %d", meta.Controller)
}

// brokerChecks probes every advertised address: the first contact works more often than what follows. It also returns the
// brokers that do not answer.
func brokerChecks(ctx context.Context, cfg *settings, meta kadm.Metadata) (out []check, silent []int32) {
	for _, b := range meta.Brokers {
		address := net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
		name := fmt.Sprintf("broker %d", b.NodeID)
		if found := probe(ctx, cfg, address); !found.ok() {
			out = append(out, check{Name: name, Status: checkFail, Detail: fmt.Sprintf("advertises %s: %s", address, found.why),
				Why: "clients use the advertised address after the first contact", Fix: fixAdvertised})
			silent = append(silent, b.NodeID)
			continue
		}
		out = append(out, passed(name, "answers at %s", address))
	}
	if len(out) == 0 {
		out = append(out, check{Name: "brokers", Status: checkFail, Detail: "the cluster names no broker"})
	}
	return out, silent
}

// withoutSilent takes brokers that do not answer out of what metadata says of partitions.
func withoutSilent(meta kadm.Metadata, silent []int32) {
	isSilent := func(id int32) bool { return slices.Contains(silent, id) }
	for _, t := range meta.Topics {
		for number, p := range t.Partitions {
			if isSilent(p.Leader) {
				p.Leader = -1
			}
			p.ISR = slices.DeleteFunc(slices.Clone(p.ISR), isSilent)
			t.Partitions[number] = p
		}
	}
}

func partitionChecks(meta kadm.Metadata, adding map[topicPartition][]int32) []check {
	var leaderless, under, single []string
	count := 0
	meta.Topics.EachPartition(func(p kadm.PartitionDetail) {
		count++
		name := fmt.Sprintf("%s:%d", p.Topic, p.Partition)
		replicas := established(p, adding)
		switch partitionHealth(p.Leader, replicas, p.ISR) {
		case healthOffline:
			leaderless = append(leaderless, name)
		case healthUnder:
			under = append(under, name)
		}
		if len(replicas) == 1 {
			single = append(single, name)
		}
	})
	out := []check{passed("leaders", "%s, each with a leader", plural(count, "partition"))}
	if len(leaderless) > 0 {
		out[0] = check{Name: "leaders", Status: checkFail, Detail: fmt.Sprintf("%d of %s without a leader: %s", len(leaderless), plural(count, "partition"), someOf(leaderless)),
			Why: "they can be neither written nor read", Fix: "start the brokers that hold their replicas: millrace cluster partitions list --unhealthy"}
	}
	if len(under) > 0 {
		out = append(out, check{Name: "replicas", Status: checkFail, Detail: fmt.Sprintf("%d under-replicated: %s", len(under), someOf(under)),
			Why: "one more failure can stop or lose them", Fix: "see which broker is missing: millrace cluster brokers"})
	} else if len(adding) > 0 {
		out = append(out, passed("replicas", "all in sync, %s being moved", plural(len(adding), "partition")))
	} else {
		out = append(out, passed("replicas", "all in sync"))
	}
	if len(single) > 0 && len(meta.Brokers) > 1 {
		out = append(out, check{Name: "redundancy", Status: checkWarn, Detail: fmt.Sprintf("%d with one replica only: %s", len(single), someOf(single)),
			Why: "the loss of one broker's disk loses them", Fix: "create topics with --replicas 3"})
	}
	return out
}

// lowSpacePercent is when a disk is told to be nearly full.
const lowSpacePercent = 10

func logdirChecks(ctx context.Context, admin *kadm.Client) []check {
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(dirs) == 0 {
		return []check{{Name: "log directories", Status: checkWarn, Detail: err.Error(), Why: "disk errors and free space cannot be seen"}}
	}
	var out []check
	for _, d := range dirs.Sorted() {
		name := fmt.Sprintf("disk of broker %d", d.Broker)
		switch {
		case d.Err != nil:
			out = append(out, check{Name: name, Status: checkFail, Detail: fmt.Sprintf("%s: %v", d.Dir, d.Err),
				Why: "its partitions are offline", Fix: "look at the broker's log, replace the disk, start the broker again"})
		case d.TotalBytes > 0 && d.UsableBytes*100 < d.TotalBytes*lowSpacePercent:
			out = append(out, check{Name: name, Status: checkWarn, Detail: fmt.Sprintf("%s: %s free of %s", d.Dir, byteSize(d.UsableBytes), byteSize(d.TotalBytes)),
				Why: "a full disk refuses every write", Fix: "lower retention (millrace topic alter TOPIC --set retention.ms=...) or add space"})
		default:
			out = append(out, passed(name, "%s: %s used by logs, %s free", d.Dir, byteSize(d.Size()), volumeSize(d.UsableBytes)))
		}
	}
	return out
}

func someOf(names []string) string {
	const shown = 5
	slices.Sort(names)
	if len(names) > shown {
		return strings.Join(names[:shown], ", ") + ", ..."
	}
	return strings.Join(names, ", ")
}

func checkTable(checks []check) *table {
	t := newTable("STATUS", "CHECK", "DETAIL")
	for _, c := range checks {
		t.row(c.Status, c.Name, c.Detail)
		if c.Why != "" {
			t.row("", "", "why: "+c.Why)
		}
		if c.Fix != "" {
			t.row("", "", "fix: "+c.Fix)
		}
	}
	return t
}
