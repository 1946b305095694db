package group

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata print into them")

// TestScripts runs the conversations in testdata/*.txt against the pure shard. A script is a list of commands, each
// followed by what it made the shard say, indented. Lines that start with # are comments.
//
// Requests name who asks first: `anna: join group=g id=a`. What is printed for a request is its answer whenever it
// comes; `write` lines are records. The log is kind unless told otherwise: `log slow` parks what is written until
// `release` or `timeout`, `log fail=ERROR` refuses it, `log ok` is kind again.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d scripts, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i] + "\n")
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			continue
		}
		command, at := lines[i], i+1
		said := w.run(t, command)
		var expected []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			i++
			expected = append(expected, strings.TrimPrefix(lines[i], "  "))
		}
		if !*rewrite && !slices.Equal(said, expected) {
			t.Errorf("%s:%d: %s\n got:\n  %s\nwant:\n  %s", file, at, command, strings.Join(said, "\n  "), strings.Join(expected, "\n  "))
		}
		for _, line := range said {
			out.WriteString("  " + line + "\n")
		}
	}
	if err := w.checkReplay(); err != nil {
		t.Error(err)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// world is a shard with a log, a clock and who waits.
type world struct {
	shard    *shard
	settings Settings
	topics   testTopics
	now      time.Time
	asked    map[coordinator.Ticket]string
	last     coordinator.Ticket
	failing  error
	slow     bool
	parked   []coordinator.Result
	log      []logged
	said     []string
	answers  map[coordinator.Ticket]any // of what was asked last; an error is nil
}

// logged is what the log has of a step: a record, perhaps of a transaction, or the end of one.
type logged struct {
	record    coordinator.Record
	by        *coordinator.Producer
	ends      bool
	committed bool
}

func (l *logged) replay(s *shard) error {
	switch {
	case l.ends:
		s.ReplayEnd(*l.by, l.committed)
		return nil
	case l.by != nil:
		return s.ReplayPending(*l.by, l.record)
	}
	return s.Replay(l.record)
}

func newWorld() *world {
	w := &world{settings: DefaultSettings(), topics: testTopics{}, now: time.UnixMilli(1_000_000).UTC(), asked: map[coordinator.Ticket]string{}}
	w.shard = newShard(func() Settings { return w.settings }, func() Topics { return w.topics })
	return w
}

// step does what the runtime does with a result.
func (w *world) step(event any, ticket coordinator.Ticket) {
	r := w.shard.Step(event, ticket, w.now)
	for _, reply := range r.Replies {
		if reply.Now {
			w.say(reply.Ticket, reply.Response, nil)
		}
	}
	if len(r.Records) > 0 {
		w.shard.Begin()
		var written []logged
		for _, record := range r.Records {
			l := logged{record: record}
			if r.Transaction != nil {
				l.by = &r.Transaction.Producer
			}
			if err := l.replay(w.shard); err != nil {
				panic(err)
			}
			written = append(written, l)
		}
		if w.failing != nil {
			w.shard.Rollback()
			w.said = append(w.said, "write refused")
			w.settle(r, w.failing)
			return
		}
		w.shard.Commit()
		for i, record := range r.Records {
			line := "write " + showRecord(record)
			if by := written[i].by; by != nil {
				line += fmt.Sprintf(" by %d/%d", by.ID, by.Epoch)
			}
			w.said = append(w.said, line)
		}
		w.log = append(w.log, written...)
	}
	if w.slow && (len(r.Records) > 0 || len(w.parked) > 0) {
		w.parked = append(w.parked, r)
		return
	}
	w.settle(r, nil)
}

// end writes a marker, as the runtime does.
func (w *world) end(by coordinator.Producer, committed bool) {
	l := logged{by: &by, ends: true, committed: committed}
	w.shard.Begin()
	_ = l.replay(w.shard)
	if w.failing != nil {
		w.shard.Rollback()
		w.said = append(w.said, "write refused")
		return
	}
	w.shard.Commit()
	w.log = append(w.log, l)
}

func (w *world) settle(r coordinator.Result, err error) {
	for _, reply := range r.Replies {
		if !reply.Now {
			w.say(reply.Ticket, reply.Response, err)
		}
	}
	if r.Then != nil {
		w.step(coordinator.Outcome{Event: r.Then, Err: err}, 0)
	}
}

func (w *world) say(ticket coordinator.Ticket, response any, err error) {
	if w.answers != nil && err == nil {
		w.answers[ticket] = response
	}
	line := ""
	if err != nil {
		line = coordinator.Refusal(err).Message
	} else {
		line = showResponse(response)
	}
	w.said = append(w.said, w.asked[ticket]+": "+line)
	delete(w.asked, ticket)
}

func (w *world) run(t *testing.T, command string) []string {
	t.Helper()
	w.said = nil
	who, rest, asks := strings.Cut(command, ": ")
	if !asks {
		who, rest = "", command
	}
	fields := strings.Fields(rest)
	args := map[string]string{}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		args[name] = value
	}
	if asks {
		w.last++
		w.asked[w.last] = who
		w.step(parseRequest(t, who, fields[0], args), w.last)
		return w.said
	}
	w.control(t, fields[0], args)
	return w.said
}

func (w *world) control(t *testing.T, verb string, args map[string]string) {
	t.Helper()
	switch verb {
	case "wait":
		w.advance(parseDuration(t, args["for"]))
	case "log":
		w.slow, w.failing = false, nil
		if _, ok := args["slow"]; ok {
			w.slow = true
		}
		if name, ok := args["fail"]; ok {
			w.failing = errorNamed(t, name)
		}
	case "release", "timeout":
		parked := w.parked
		w.parked = nil
		for _, r := range parked {
			if verb == "timeout" {
				w.settle(r, coordinator.Refusal(kerr.RequestTimedOut))
			} else {
				w.settle(r, nil)
			}
		}
	case "restart":
		w.reload(t)
	case "set":
		w.set(t, args)
	case "commit-of", "abort-of":
		w.end(coordinator.Producer{ID: int64(number(t, args, "producer", 7)), Epoch: int16(number(t, args, "epoch", 0))}, verb == "commit-of")
	case "drop-topic":
		w.step(topicDeleted{defaultTenant, args["topic"]}, 0)
	case "topics":
		w.changeTopics(t, args)
	default:
		t.Fatalf("unknown command %q", verb)
	}
}

// advance lets every deadline on the way ring at its time.
func (w *world) advance(d time.Duration) {
	end := w.now.Add(d)
	for {
		at, ok := w.shard.NextDeadline()
		if !ok || at.After(end) {
			break
		}
		if at.After(w.now) {
			w.now = at
		}
		w.step(coordinator.Tick{}, 0)
	}
	w.now = end
}

// reload is what another broker does: it reads the log.
func (w *world) reload(t *testing.T) {
	t.Helper()
	w.shard = newShard(func() Settings { return w.settings }, func() Topics { return w.topics })
	w.asked, w.parked = map[coordinator.Ticket]string{}, nil
	for _, l := range w.log {
		if err := l.replay(w.shard); err != nil {
			t.Fatal(err)
		}
	}
	w.shard.Loaded(w.now)
}

// checkReplay holds the invariant: what is in the log is what the live shard has.
func (w *world) checkReplay() error {
	replayed := newShard(w.shard.settings, w.shard.topics)
	for _, l := range w.log {
		if err := l.replay(replayed); err != nil {
			return err
		}
	}
	if live, logged := dumpDurable(w.shard), dumpDurable(replayed); live != logged {
		return fmt.Errorf("the log says\n%s\nthe shard has\n%s", logged, live)
	}
	return nil
}

// dumpDurable shows what of a shard is in the log.
func dumpDurable(s *shard) string {
	var b strings.Builder
	for _, key := range s.sortedKeys() {
		g := s.groups[key]
		if g.share != nil {
			b.WriteString(dumpShare(g.share))
		}
		if g.streams != nil {
			b.WriteString(dumpStreams(g.streams))
		}
		if g.stored == nil && g.consumer == nil && len(g.offsets) == 0 && len(g.pending) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%s/%s\n", key.tenant, key.id)
		if g.stored != nil {
			fmt.Fprintf(&b, "  %s\n", showStored(g.stored))
		}
		if g.consumer != nil {
			b.WriteString(dumpConsumer(key, g.consumer))
		}
		for _, topic := range slices.Sorted(maps.Keys(g.offsets)) {
			for _, partition := range slices.Sorted(maps.Keys(g.offsets[topic])) {
				fmt.Fprintf(&b, "  %s-%d %+v\n", topic, partition, g.offsets[topic][partition])
			}
		}
		for _, id := range slices.Sorted(maps.Keys(g.pending)) {
			for _, at := range sortedPartitions(g.pending[id]) {
				fmt.Fprintf(&b, "  %d: %s-%d %+v\n", id, at.topic, at.partition, g.pending[id][at])
			}
		}
	}
	return b.String()
}

func (w *world) set(t *testing.T, args map[string]string) {
	t.Helper()
	for name, value := range args {
		if name == "migration" {
			w.settings.MigrationPolicy = value
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		switch name {
		case "max.size":
			w.settings.MaxSize = int32(n)
		case "consumer.max.size":
			w.settings.ConsumerMaxSize = int32(n)
		case "hold.ms":
			w.settings.HeartbeatHoldMillis = int32(n)
		case "streams.max.size":
			w.settings.StreamsMaxSize = int32(n)
		case "standbys", "streams.delay.ms":
			w.setStreams(name, int32(n))
		case "delay.ms":
			w.settings.InitialRebalanceDelayMillis = int32(n)
		case "metadata.max.bytes":
			w.settings.OffsetMetadataMaxBytes = int32(n)
		case "retention.ms":
			w.settings.OffsetsRetentionMillis = n
		case "check.ms":
			w.settings.OffsetsRetentionCheckMillis = n
		default:
			t.Fatalf("unknown setting %q", name)
		}
	}
}

func parseRequest(t *testing.T, who, verb string, args map[string]string) any {
	t.Helper()
	group := args["group"]
	if group == "" {
		group = "g"
	}
	key := groupKey{defaultTenant, group}
	if strings.Contains(verb, "share") {
		return parseShare(t, who, verb, key, args)
	}
	if strings.Contains(verb, "streams") {
		return parseStreams(t, who, verb, key, args)
	}
	switch verb {
	case "join":
		return parseJoin(t, who, key, args)
	case "sync":
		r := kmsg.NewPtrSyncGroupRequest()
		r.Group, r.MemberID, r.InstanceID, r.Generation = group, args["member"], optional(args, "instance"), int32(number(t, args, "gen", 1))
		r.ProtocolType, r.Protocol = optional(args, "type"), optional(args, "protocol")
		for _, a := range list(args["assign"]) {
			member, assignment, _ := strings.Cut(a, ":")
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: member, MemberAssignment: []byte(assignment)})
		}
		for _, a := range list(args["share"]) { // member:t-0+t-1, an assignment of the consumer protocol
			member, partitions, _ := strings.Cut(a, ":")
			own := kmsg.NewConsumerMemberAssignment()
			for _, name := range summands(partitions) {
				topic, partition := parseTopicPartition(t, name)
				own.Topics = append(own.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: topic, Partitions: []int32{partition}})
			}
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: member, MemberAssignment: own.AppendTo(nil)})
		}
		return syncRequest{key, r}
	case "heartbeat":
		r := kmsg.NewPtrHeartbeatRequest()
		r.Group, r.MemberID, r.InstanceID, r.Generation = group, args["member"], optional(args, "instance"), int32(number(t, args, "gen", 1))
		return heartbeatRequest{key, r}
	case "leave":
		e := leaveRequest{key: key}
		for _, id := range list(args["members"]) {
			member, instance, static := strings.Cut(id, "@")
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID = member
			if static {
				m.InstanceID = &instance
			}
			e.members = append(e.members, m)
		}
		return e
	case "commit":
		return parseCommit(t, key, args)
	case "txn-commit":
		return parseTransactionCommit(t, key, args)
	case "fetch":
		r := kmsg.NewOffsetFetchRequestGroup()
		r.Group, r.MemberID, r.MemberEpoch = group, optional(args, "member"), int32(number(t, args, "epoch", -1))
		for _, x := range list(args["of"]) {
			topic, partition := parseTopicPartition(t, x)
			r.Topics = append(r.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: topic, Partitions: []int32{partition}})
		}
		_, stable := args["stable"]
		return fetchRequest{key, &r, stable}
	case "delete-offsets":
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = group
		for _, x := range list(args["of"]) {
			topic, partition := parseTopicPartition(t, x)
			r.Topics = append(r.Topics, kmsg.OffsetDeleteRequestTopic{Topic: topic, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: partition}}})
		}
		return deleteOffsetsRequest{key, r}
	case "delete-groups":
		e := deleteGroupsRequest{}
		for _, id := range list(args["groups"]) {
			e.keys = append(e.keys, groupKey{defaultTenant, id})
		}
		return e
	case "describe":
		return describeRequest{keys: []groupKey{key}, version: int16(number(t, args, "v", 6))}
	case "list":
		return listRequest{tenant: defaultTenant, states: list(args["states"]), types: list(args["types"])}
	case "beat":
		return parseBeat(t, who, key, args)
	case "describe-consumer":
		return describeConsumersRequest{keys: []groupKey{key}}
	}
	t.Fatalf("unknown request %q", verb)
	return nil
}

func parseJoin(t *testing.T, who string, key groupKey, args map[string]string) any {
	t.Helper()
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(number(t, args, "v", 9)), key.id, args["member"], optional(args, "instance")
	r.SessionTimeoutMillis = int32(number(t, args, "session", 10000))
	r.RebalanceTimeoutMillis = int32(number(t, args, "rebalance", 60000))
	r.ProtocolType = "consumer"
	if ptype, ok := args["type"]; ok {
		r.ProtocolType = ptype
	}
	protocols := "range"
	if p, ok := args["protocols"]; ok {
		protocols = p
	}
	topics := subscription(list(args["topics"])...)
	if owned, ok := args["owns"]; ok { // t-0+t-1: version 1, which says what the member has
		topics = owningSubscription(t, owned, list(args["topics"])...)
	}
	for _, name := range list(protocols) {
		r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: name, Metadata: topics})
	}
	_, steady := args["steady"]
	return joinRequest{key: key, caller: Caller{Tenant: defaultTenant, ClientID: who, ClientHost: "/10.0.0.1", Steady: steady}, body: r, newMemberID: args["id"]}
}

func parseCommit(t *testing.T, key groupKey, args map[string]string) any {
	t.Helper()
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.MemberID, r.InstanceID = int16(number(t, args, "v", 9)), key.id, args["member"], optional(args, "instance")
	r.Generation, r.RetentionTimeMillis = int32(number(t, args, "gen", -1)), int64(number(t, args, "retention", -1))
	for _, x := range list(args["offsets"]) {
		name, value, _ := strings.Cut(x, ":")
		value, metadata, _ := strings.Cut(value, ":")
		topic, partition := parseTopicPartition(t, name)
		offset, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, offset, 7, &metadata
		r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}})
	}
	return commitRequest{key, r}
}

func parseTransactionCommit(t *testing.T, key groupKey, args map[string]string) any {
	t.Helper()
	commit := parseCommit(t, key, args).(commitRequest).body
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.TransactionalID, r.Group, r.MemberID, r.InstanceID = 5, "mover", key.id, commit.MemberID, commit.InstanceID
	r.Generation, r.ProducerID, r.ProducerEpoch = commit.Generation, int64(number(t, args, "producer", 7)), int16(number(t, args, "epoch", 0))
	for _, topic := range commit.Topics {
		x := kmsg.NewTxnOffsetCommitRequestTopic()
		x.Topic = topic.Topic
		for _, p := range topic.Partitions {
			x.Partitions = append(x.Partitions, kmsg.TxnOffsetCommitRequestTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata,
			})
		}
		r.Topics = append(r.Topics, x)
	}
	return transactionCommitRequest{key: key, body: r}
}

// subscription is a consumer's, version 0.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = topics
	return m.AppendTo(nil)
}

func owningSubscription(t *testing.T, owned string, topics ...string) []byte {
	t.Helper()
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics = 1, topics
	for _, name := range summands(owned) {
		topic, partition := parseTopicPartition(t, name)
		m.OwnedPartitions = append(m.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: topic, Partitions: []int32{partition}})
	}
	return m.AppendTo(nil)
}

// summands are the parts of a+b.
func summands(s string) []string { return strings.FieldsFunc(s, func(c rune) bool { return c == '+' }) }

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func optional(args map[string]string, name string) *string {
	if v, ok := args[name]; ok {
		return &v
	}
	return nil
}

func number(t *testing.T, args map[string]string, name string, otherwise int) int {
	t.Helper()
	v, ok := args[name]
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseTopicPartition(t *testing.T, s string) (string, int32) {
	t.Helper()
	i := strings.LastIndexByte(s, '-')
	n, err := strconv.Atoi(s[i+1:])
	if i < 0 || err != nil {
		t.Fatalf("%q is not topic-partition", s)
	}
	return s[:i], int32(n)
}

func parseDuration(t *testing.T, s string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func errorNamed(t *testing.T, name string) error {
	t.Helper()
	for code := int16(-1); code < 150; code++ {
		if err, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && err.Message == name {
			return err
		}
	}
	t.Fatalf("no error is named %s", name)
	return nil
}
