package group

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// What scripts say and print of streams groups.

// testApps are the applications of scripts: one that only reads t, one that counts what it reads of it by another key, and one
// that joins t and u.
func testApp(t *testing.T, name string) *kmsg.StreamsGroupHeartbeatRequestTopology {
	t.Helper()
	app := kmsg.NewStreamsGroupHeartbeatRequestTopology()
	first := kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{SubtopologyID: "0", SourceTopics: []string{"t"}}
	switch name {
	case "read":
	case "count":
		first.RepartitionSinkTopics = []string{"g-by-word"}
		second := kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{SubtopologyID: "1",
			RepartitionSourceTopics: []kmsg.TopicInfo{{Topic: "g-by-word"}},
			StateChangelogTopics:    []kmsg.TopicInfo{{Topic: "g-counts", ReplicationFactor: 1, Configs: []kmsg.TopicInfoConfig{{Key: "cleanup.policy", Value: "compact"}}}}}
		app.Subtopologies = []kmsg.StreamsGroupHeartbeatRequestTopologySubtopology{second}
	case "join":
		first.SourceTopics = []string{"t", "u"}
		first.CopartitionGroups = []kmsg.StreamsGroupHeartbeatRequestTopologySubtopologyCopartitionGroup{{SourceTopics: []int16{0, 1}}}
	case "loop":
		first.SourceTopics, first.RepartitionSinkTopics = nil, []string{"g-round"}
		first.RepartitionSourceTopics = []kmsg.TopicInfo{{Topic: "g-round"}}
	default:
		t.Fatalf("no application is called %q", name)
	}
	app.Subtopologies = append(app.Subtopologies, first)
	return &app
}

// parseStreams reads `anna: streams-beat member=a epoch=0 app=count` and the other requests of streams groups.
func parseStreams(t *testing.T, who, verb string, key groupKey, args map[string]string) any {
	t.Helper()
	if verb == "describe-streams" {
		return describeStreamsRequest{[]groupKey{key}}
	}
	if verb != "streams-beat" {
		t.Fatalf("unknown request %q", verb)
	}
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch, r.RackID, r.ProcessID = key.id, args["member"], int32(number(t, args, "epoch", 0)), optional(args, "rack"), optional(args, "process")
	r.EndpointInformationEpoch = int32(number(t, args, "endpoint-epoch", 0))
	_, r.ShutdownApplication = args["shutdown"]
	if host, ok := args["endpoint"]; ok {
		r.UserEndpoint = &kmsg.StreamsGroupHeartbeatRequestUserEndpoint{Host: host, Port: 80}
	}
	if r.MemberEpoch == 0 {
		app, named := args["app"]
		if !named {
			app = "read"
		}
		if r.Topology = testApp(t, app); r.ProcessID == nil {
			r.ProcessID = &who
		}
		r.Topology.Epoch = int32(number(t, args, "topology", 0))
		r.RebalanceTimeoutMillis = int32(number(t, args, "rebalance", 60000))
		args["has"] = ""
	}
	if has, ok := args["has"]; ok {
		r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = parseTasks(t, has), parseTasks(t, args["copies"]), []kmsg.TaskIDs{}
	}
	if fault := streamsHeartbeatFault(r); fault != "" {
		t.Fatalf("heartbeat is refused by the service: %s", fault)
	}
	return streamsHeartbeatRequest{key: key, caller: Caller{Tenant: defaultTenant, ClientID: who, ClientHost: "/10.0.0.1"}, body: r}
}

// parseTasks reads 0:0,1;1:2.
func parseTasks(t *testing.T, s string) []kmsg.TaskIDs {
	t.Helper()
	all := []kmsg.TaskIDs{}
	for _, part := range strings.FieldsFunc(s, func(c rune) bool { return c == ';' }) {
		id, partitions, _ := strings.Cut(part, ":")
		x := kmsg.TaskIDs{SubtopologyID: id}
		for _, p := range list(partitions) {
			n, err := strconv.Atoi(p)
			if err != nil {
				t.Fatal(err)
			}
			x.Partitions = append(x.Partitions, int32(n))
		}
		all = append(all, x)
	}
	return all
}

func showTold(told []kmsg.TaskIDs) string {
	var parts []string
	for _, t := range told {
		parts = append(parts, t.SubtopologyID+":"+strings.ReplaceAll(strings.Trim(fmt.Sprint(t.Partitions), "[]"), " ", ","))
	}
	return "[" + strings.Join(parts, ";") + "]"
}

// showTasks shows active and standby tasks; the epochs of active ones, where there are any.
func showTasks(t tasks) string {
	s := showTold(told(t.active))
	epochs := map[int32]bool{}
	for _, epoch := range t.active {
		if epoch != 0 {
			epochs[epoch] = true
		}
	}
	for _, epoch := range slices.Sorted(maps.Keys(epochs)) {
		s += fmt.Sprintf("@%d", epoch)
	}
	if len(t.standby) > 0 {
		s += "+" + showTold(told(t.standby))
	}
	return s
}

// showStreams prints an answer of a streams group, ok is false for others.
func showStreams(response any) (s string, ok bool) {
	switch r := response.(type) {
	case streamsHeartbeatAnswer:
		if r.body.ErrorCode != 0 {
			return errorName(r.body.ErrorCode) + " " + text(r.body.ErrorMessage), true
		}
		s = fmt.Sprintf("%s at epoch %d, next in %dms", r.body.MemberID, r.body.MemberEpoch, r.body.HeartbeatIntervalMillis)
		if r.body.ActiveTasks != nil {
			s += " has " + showTold(r.body.ActiveTasks)
			if len(r.body.StandbyTasks) > 0 {
				s += "+" + showTold(r.body.StandbyTasks)
			}
		} else {
			s += " no news"
		}
		for _, status := range r.body.Status {
			s += fmt.Sprintf(" (%d: %s)", status.StatusCode, status.StatusDetail)
		}
		for _, t := range r.create {
			s += fmt.Sprintf(" create=%s*%d", t.Name, t.Partitions)
		}
		if len(r.body.PartitionsByUserEndpoint) > 0 {
			s += fmt.Sprintf(" endpoints@%d:", r.body.EndpointInformationEpoch)
			for _, e := range r.body.PartitionsByUserEndpoint {
				s += fmt.Sprintf(" %s:%d", e.UserEndpoint.Host, e.UserEndpoint.Port)
				for _, p := range e.ActivePartitions {
					s += fmt.Sprintf(" %s%v", p.Topic, p.Partitions)
				}
			}
		}
		return s, true
	case []kmsg.StreamsGroupDescribeResponseGroup:
		g := r[0]
		if g.ErrorCode != 0 {
			return errorName(g.ErrorCode) + " " + text(g.ErrorMessage), true
		}
		s = fmt.Sprintf("%s epoch=%d assigned=%d", g.State, g.Epoch, g.AssignmentEpoch)
		for _, sub := range g.Topology.Subtopologies {
			s += fmt.Sprintf(" %s<%v", sub.SubtopologyID, sub.SourceTopics)
			for _, topics := range [][]kmsg.TopicInfo{sub.RepartitionSourceTopics, sub.StateChangelogTopics} {
				for _, x := range topics {
					s += fmt.Sprintf(" %s*%d", x.Topic, x.NumPartitions)
				}
			}
		}
		for _, m := range g.Members {
			s += fmt.Sprintf(" %s@%d of %s has %s wants %s", m.MemberID, m.MemberEpoch, m.ProcessID, showTold(m.Assignment.ActiveTasks), showTold(m.TargetAssignment.ActiveTasks))
		}
		return s, true
	}
	return "", false
}

func showStreamsRecord(key parsedKey, value []byte) string {
	what := map[int16]string{streamsMemberKey: "streams member", streamsMetadataKey: "streams group", streamsTargetMetadataKey: "streams assigned",
		streamsTargetMemberKey: "streams target", streamsCurrentKey: "streams current", streamsTopologyKey: "streams topology"}[key.kind]
	s := strings.TrimSpace(fmt.Sprintf("%s %s %s", key.group.id, what, key.member))
	if value == nil {
		return s + " tombstone"
	}
	shard := newShard(DefaultSettings, func() Topics { return noTopics{} })
	if err := shard.replayStreams(key, value); err != nil {
		return err.Error()
	}
	g := shard.streamsOf(key.group)
	m := g.members[key.member]
	switch key.kind {
	case streamsMemberKey:
		return fmt.Sprintf("%s %s of %s topology=%d", s, m.clientID, m.processID, m.topologyEpoch)
	case streamsMetadataKey:
		return fmt.Sprintf("%s epoch=%d validated=%d standbys=%s", s, g.epoch, g.validated, g.configs["num.standby.replicas"])
	case streamsTargetMetadataKey:
		return fmt.Sprintf("%s epoch=%d", s, g.assignmentEpoch)
	case streamsTargetMemberKey:
		return fmt.Sprintf("%s %s", s, showTasks(g.target[key.member]))
	case streamsTopologyKey:
		return fmt.Sprintf("%s epoch=%d required=%v", s, g.topology.Epoch, g.topology.Required())
	}
	state := map[memberState]string{memberStable: "", memberUnrevoked: " revoking=" + showTasks(m.revoking), memberUnreleased: " waits"}[m.state]
	return fmt.Sprintf("%s epoch=%d<%d has=%s%s", s, m.epoch, m.previousEpoch, showTasks(m.assigned), state)
}

// dumpStreams shows what is in the log of a streams group.
func dumpStreams(g *streamsGroup) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  streams epoch=%d hash=%d validated=%d configs=%v assigned=%d %d reconciled=%d %s\n", g.epoch, g.metadataHash, g.validated, g.configs,
		g.assignmentEpoch, g.assignmentMillis, g.reconciled, g.state())
	if g.topology != nil {
		fmt.Fprintf(&b, "  topology %x\n", topologyValue(g.topology))
	}
	for _, id := range sortedKeys(g.members) {
		m := g.members[id]
		fmt.Fprintf(&b, "  %s %s %s %s %v %d %d %d %d %s %s\n", id, m.clientID, m.clientHost, m.processID, m.tags, m.topologyEpoch, m.epoch, m.previousEpoch, m.state,
			showTasks(m.assigned), showTasks(m.revoking))
	}
	for _, id := range sortedKeys(g.target) {
		fmt.Fprintf(&b, "  target %s %s\n", id, showTasks(g.target[id]))
	}
	for _, held := range []map[assignor.Task]map[string]int{g.active, g.copies} {
		for _, task := range slices.SortedFunc(maps.Keys(held), assignor.Task.Compare) {
			fmt.Fprintf(&b, "  held %v %v\n", task, held[task])
		}
	}
	return b.String()
}

// setStreams changes a setting of all streams groups.
func (w *world) setStreams(name string, n int32) {
	settings := w.shard.streamsSettings(groupKey{})
	if name == "standbys" {
		settings.StandbyReplicas = n
	} else {
		settings.InitialDelayMillis = n
	}
	w.settings.Streams = func(string, string) StreamsSettings { return settings }
}
