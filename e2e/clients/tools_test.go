//go:build e2e

package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace-io/millrace/e2e/harness"
)

// tools does each feature with Apache's own command-line tools.
type tools struct {
	classpath, logging string
}

func newTools(t *testing.T) *tools {
	return &tools{classpath: harness.Classpath(t), logging: harness.JavaLogging(t)}
}

const (
	consoleProducer    = "org.apache.kafka.tools.ConsoleProducer"
	consoleConsumer    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	topicCommand       = "org.apache.kafka.tools.TopicCommand"
	groupCommand       = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	configCommand      = "kafka.admin.ConfigCommand"
	getOffsets         = "org.apache.kafka.tools.GetOffsetShell"
	deleteRecordsTool  = "org.apache.kafka.tools.DeleteRecordsCommand"
	producerPerf       = "org.apache.kafka.tools.ProducerPerformance"
	consumerPerf       = "org.apache.kafka.tools.ConsumerPerformance"
	verifiableProducer = "org.apache.kafka.tools.VerifiableProducer"
	verifiableConsumer = "org.apache.kafka.tools.VerifiableConsumer"
	apiVersions        = "org.apache.kafka.tools.BrokerApiVersionsCommand"
	clusterTool        = "org.apache.kafka.tools.ClusterTool"
	logDirs            = "org.apache.kafka.tools.LogDirsCommand"
	metadataQuorum     = "org.apache.kafka.tools.MetadataQuorumCommand"
	groupsCommand      = "org.apache.kafka.tools.GroupsCommand"
)

func (k *tools) command(c *cell, class string, args ...string) []string {
	command := append([]string{"java"}, quickJVM...)
	command = append(command, k.logging, "-cp", k.classpath, class, "--bootstrap-server", c.address)
	if class == clusterTool {
		command = append(command[:len(command)-2], args[0], "--bootstrap-server", c.address)
		args = args[1:]
	}
	return append(command, args...)
}

func (k *tools) call(c *cell, input, class string, args ...string) (string, error) {
	return execute(c, input, k.command(c, class, args...)...)
}

func (k *tools) run(c *cell) error {
	features := map[string]func(*cell) error{
		"produce": k.produce, "fields": k.fields, "idempotence": k.idempotence, "start": k.start, "end": k.end, "time": k.time, "group": k.group,
		"consumer": k.consumerProtocol, "share": k.shareGroups, "commits": k.commits, "topics": k.topics, "configs": k.configs, "groups": k.groups, "records": k.records,
	}
	return features[c.feature.verb](c)
}

func (k *tools) produce(c *cell) error {
	for _, codec := range c.codecs {
		_, err := k.call(c, produceLines(c, codec, ":"), consoleProducer, "--topic", c.topic, "--compression-codec", codec, "--request-required-acks", c.feature.acks,
			"--command-property", "enable.idempotence=false", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:")
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *tools) fields(c *cell) error {
	_, err := k.call(c, "one:1,two:2\tkey\tvalue\none:1\tgone\tNULL\n", consoleProducer, "--topic", c.topic,
		"--reader-property", "parse.key=true", "--reader-property", "parse.headers=true", "--reader-property", "null.marker=NULL")
	if err != nil {
		return err
	}
	out, err := k.call(c, "", consoleConsumer, "--topic", c.topic, "--from-beginning", "--max-messages", "2",
		"--formatter-property", "print.timestamp=true", "--formatter-property", "print.key=true", "--formatter-property", "print.headers=true", "--formatter-property", "print.offset=true")
	if err != nil {
		return err
	}
	if !regexp.MustCompile(`CreateTime:\d{13}\tOffset:0\tone:1,two:2\tkey\tvalue\nCreateTime:\d{13}\tOffset:1\tone:1\tgone\tnull\n`).MatchString(out) {
		return fmt.Errorf("read back %q", out)
	}
	return nil
}

func (k *tools) idempotence(c *cell) error {
	_, err := k.call(c, lines("idempotent/", 1000), consoleProducer, "--topic", c.topic, "--command-property", "enable.idempotence=true")
	return err
}

func (k *tools) expectLines(c *cell, want string, args ...string) error {
	out, err := k.call(c, "", consoleConsumer, append([]string{"--topic", c.topic}, args...)...)
	if err == nil && out != want {
		err = fmt.Errorf("read %q", shorten(out))
	}
	return err
}

func (k *tools) start(c *cell) error {
	return k.expectLines(c, lines("fill/", filled), "--from-beginning", "--max-messages", fmt.Sprint(filled))
}

// time asks for the offset of the moment and reads from there.
func (k *tools) time(c *cell) error {
	out, err := k.call(c, "", getOffsets, "--topic", c.topic, "--time", fmt.Sprint(c.middle.UnixMilli()))
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%s:0:%d", c.topic, filled/2); strings.TrimSpace(out) != want {
		return fmt.Errorf("offset of the moment is %q, want %q", out, want)
	}
	want := strings.TrimPrefix(lines("fill/", filled), lines("fill/", filled/2))
	return k.expectLines(c, want, "--partition", "0", "--offset", fmt.Sprint(filled/2), "--max-messages", fmt.Sprint(filled/2))
}

func (k *tools) end(c *cell) error {
	return readWhileProducing(func() (string, error) {
		return k.call(c, "", consoleConsumer, "--topic", c.topic, "--partition", "0", "--offset", "latest", "--max-messages", "5")
	}, func() error {
		_, err := k.call(c, "after\n", consoleProducer, "--topic", c.topic)
		return err
	})
}

// group lets console consumers join and leave while a console producer writes.
func (k *tools) group(c *cell) error {
	begin := func() (*lineReader, error) {
		return startReader(k.command(c, consoleConsumer, "--topic", c.topic, "--group", c.group, "--from-beginning",
			"--command-property", "session.timeout.ms=10000", "--command-property", "heartbeat.interval.ms=300", "--command-property", "auto.commit.interval.ms=200")...)
	}
	load := func(stop *atomic.Bool) (int, error) {
		n := 0
		for ; !stop.Load(); n += 300 {
			_, err := k.call(c, numbered(n, 300), consoleProducer, "--topic", c.topic, "--batch-size", "100",
				"--command-property", "partitioner.class=org.apache.kafka.clients.producer.RoundRobinPartitioner")
			if err != nil {
				return n, err
			}
		}
		return n, nil
	}
	return shareLoad(begin, load)
}

func (k *tools) commits(c *cell) error {
	for half := range 2 {
		prefix := fmt.Sprintf("half/%d/", half)
		if _, err := k.call(c, lines(prefix, c.count), consoleProducer, "--topic", c.topic); err != nil {
			return err
		}
		if err := k.readHalf(c, half); err != nil {
			return err
		}
	}
	return nil
}

// readHalf has a console consumer of the group read a half. Where brokers restart the half before may come again: Java's
// consumers commit no position that they are about to validate because its leader has moved, also when they close
// (SubscriptionState.allConsumed), with any broker. Then the next one reads on.
func (k *tools) readHalf(c *cell, half int, args ...string) error {
	is := func(got string, half int) bool {
		want := lines(fmt.Sprintf("half/%d/", half), c.count)
		inAnyOrder := slices.Equal(slices.Sorted(strings.Lines(got)), slices.Sorted(strings.Lines(want)))
		return got == want || c.feature.partitions > 1 && inAnyOrder
	}
	args = append([]string{"--topic", c.topic, "--group", c.group, "--from-beginning", "--max-messages", fmt.Sprint(c.count)}, args...)
	for again := 0; ; again++ {
		got, err := k.call(c, "", consoleConsumer, args...)
		switch restarts := strings.Contains(c.address, ","); {
		case err != nil:
			return fmt.Errorf("half %d: %w", half, err)
		case is(got, half):
			return nil
		case !restarts || again == 3 || half == 0 || !is(got, half-1):
			return fmt.Errorf("half %d: read %q", half, shorten(got))
		}
	}
}

// consumerProtocol has one console consumer after the other read in a group of the consumer protocol.
func (k *tools) consumerProtocol(c *cell) error {
	for half := range 2 {
		want := lines(fmt.Sprintf("half/%d/", half), c.count)
		if _, err := k.call(c, want, consoleProducer, "--topic", c.topic); err != nil {
			return err
		}
		if err := k.readHalf(c, half, "--command-property", "group.protocol=consumer"); err != nil {
			return err
		}
	}
	return k.each(c, []toolCall{
		{regexp.QuoteMeta(c.group) + `\s+Consumer\s+consumer`, groupsCommand, []string{"--list"}},
		{`Empty`, groupCommand, []string{"--describe", "--group", c.group, "--state"}},
		{`was successful`, groupCommand, []string{"--delete", "--group", c.group}},
	})
}

const shareGroupCommand = "org.apache.kafka.tools.consumer.group.ShareGroupCommand"

// shareGroups runs the tools of share groups, one after the other on one group.
func (k *tools) shareGroups(c *cell) error {
	group, topic := regexp.QuoteMeta(c.group), regexp.QuoteMeta(c.topic)
	return k.each(c, []toolCall{
		{`Completed updating config`, configCommand, []string{"--alter", "--entity-type", "groups", "--entity-name", c.group, "--add-config", "share.auto.offset.reset=earliest"}},
		{`"acked":500`, verifiableProducer, []string{"--topic", c.topic, "--max-messages", "500", "--acks", "-1"}},
		{`"name":"offsets_acknowledged"`, "org.apache.kafka.tools.VerifiableShareConsumer", []string{"--topic", c.topic, "--group-id", c.group, "--max-messages", "500"}},
		{group + `\s+` + topic + `\s+0\s+500\s+0`, shareGroupCommand, []string{"--describe", "--group", c.group, "--offsets"}},
		{group + `\s+.*Empty`, shareGroupCommand, []string{"--describe", "--group", c.group, "--state"}},
		{group, shareGroupCommand, []string{"--list"}},
		{group + `\s+Share\s+share`, groupsCommand, []string{"--list"}},
		{topic + `\s+0\s+0`, shareGroupCommand, []string{"--reset-offsets", "--group", c.group, "--topic", c.topic, "--to-earliest", "--execute"}},
		{`(?m)^9$`, "org.apache.kafka.tools.consumer.ConsoleShareConsumer", []string{"--topic", c.topic, "--group", c.group, "--max-messages", "10"}},
		{topic + `\s+Successful`, shareGroupCommand, []string{"--delete-offsets", "--group", c.group, "--topic", c.topic}},
		{`was successful`, shareGroupCommand, []string{"--delete", "--group", c.group}},
	})
}

// expect runs a tool and wants the pattern in what it prints.
func (k *tools) expect(c *cell, pattern, class string, args ...string) error {
	out, err := k.call(c, "", class, args...)
	if err == nil && !regexp.MustCompile(pattern).MatchString(out) {
		err = fmt.Errorf("%s %s prints %q, want %s", class, strings.Join(args, " "), shorten(out), pattern)
	}
	return err
}

type toolCall struct {
	pattern, class string
	args           []string
}

func (k *tools) each(c *cell, calls []toolCall) error {
	for _, call := range calls {
		if err := k.expect(c, call.pattern, call.class, call.args...); err != nil {
			return err
		}
	}
	return nil
}

func (k *tools) topics(c *cell) error {
	replicas := strings.Count(c.address, ",") + 1 // the cluster of the test has as many as brokers
	return k.each(c, []toolCall{
		{`Created topic`, topicCommand, []string{"--create", "--topic", c.topic, "--partitions", "3", "--config", "retention.ms=3600000"}},
		{fmt.Sprintf(`PartitionCount: 3\s+ReplicationFactor: %d\s+Configs: .*retention.ms=3600000`, replicas), topicCommand, []string{"--describe", "--topic", c.topic}},
		{`^$`, topicCommand, []string{"--alter", "--topic", c.topic, "--partitions", "5"}},
		{`(?m)^` + regexp.QuoteMeta(c.topic) + `$`, topicCommand, []string{"--list"}},
		{`PartitionCount: 5`, topicCommand, []string{"--describe", "--topic", c.topic}},
		{`^$`, topicCommand, []string{"--delete", "--topic", c.topic}},
	})
}

func (k *tools) configs(c *cell) error {
	entity := []string{"--entity-type", "topics", "--entity-name", c.topic}
	return k.each(c, []toolCall{
		{`Completed updating config`, configCommand, append([]string{"--alter", "--add-config", "retention.ms=7200000,cleanup.policy=[compact,delete]"}, entity...)},
		{`retention.ms=7200000`, configCommand, append([]string{"--describe"}, entity...)},
		{`Completed updating config`, configCommand, append([]string{"--alter", "--delete-config", "retention.ms"}, entity...)},
		{`cleanup.policy=compact,delete`, configCommand, append([]string{"--describe"}, entity...)},
		{`retention.ms=604800000`, configCommand, append([]string{"--describe", "--all"}, entity...)},
		{`(?s)Default|All configs for broker 1`, configCommand, []string{"--describe", "--all", "--entity-type", "brokers", "--entity-name", "1"}},
	})
}

func (k *tools) groups(c *cell) error {
	c.count = 10
	if err := k.commits(c); err != nil {
		return err
	}
	return k.each(c, []toolCall{
		{regexp.QuoteMeta(c.group), groupCommand, []string{"--list"}},
		{regexp.QuoteMeta(c.topic) + `\s+0\s+20\s+20\s+0`, groupCommand, []string{"--describe", "--group", c.group}},
		{`Empty\s+0`, groupCommand, []string{"--describe", "--group", c.group, "--state"}},
		{regexp.QuoteMeta(c.topic) + `\s+0\s+5`, groupCommand, []string{"--reset-offsets", "--group", c.group, "--topic", c.topic, "--to-offset", "5", "--execute"}},
		{regexp.QuoteMeta(c.topic) + `\s+0\s+5\s+20\s+15`, groupCommand, []string{"--describe", "--group", c.group}},
		{`Deletion of requested consumer groups .* was successful`, groupCommand, []string{"--delete", "--group", c.group}},
	})
}

func (k *tools) records(c *cell) error {
	file := filepath.Join(c.t.TempDir(), "offsets.json")
	text := fmt.Sprintf(`{"version":1,"partitions":[{"topic":%q,"partition":0,"offset":%d}]}`, c.topic, filled/2)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	if err := k.expect(c, fmt.Sprintf(`low_watermark: %d`, filled/2), deleteRecordsTool, "--offset-json-file", file); err != nil {
		return err
	}
	return k.expectLines(c, strings.TrimPrefix(lines("fill/", filled), lines("fill/", filled/2)), "--from-beginning", "--max-messages", fmt.Sprint(filled/2))
}

// TestApacheTools runs the tools that are not a way to do a feature of the matrix.
func TestApacheTools(t *testing.T) {
	k := newTools(t)
	c := &cell{t: t, address: startServer(t), client: &client{name: "tools"}, feature: &feature{partitions: 2}, topic: "tools", group: "tools", count: 50}
	if err := prepare(c); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		toolCall
	}{
		{"producer perf", toolCall{`10000 records sent`, producerPerf, []string{"--topic", c.topic, "--num-records", "10000", "--record-size", "100", "--throughput", "-1"}}},
		{"consumer perf", toolCall{`, 10\d\d\d, `, consumerPerf, []string{"--topic", c.topic, "--num-records", "10000"}}},
		{"verifiable producer", toolCall{`"acked":500`, verifiableProducer, []string{"--topic", c.topic, "--max-messages", "500", "--acks", "-1"}}},
		{"verifiable consumer", toolCall{`"name":"offsets_committed"`, verifiableConsumer, []string{"--topic", c.topic, "--group-id", c.group, "--max-messages", "500", "--reset-policy", "earliest"}}},
		{"get offsets, latest", toolCall{`tools:0:\d+\s+tools:1:\d+`, getOffsets, []string{"--topic", c.topic}}},
		{"get offsets, earliest", toolCall{`tools:0:0\s+tools:1:0`, getOffsets, []string{"--topic", c.topic, "--time", "earliest"}}},
		{"get offsets, newest record", toolCall{`tools:0:\d+`, getOffsets, []string{"--topic", c.topic, "--time", "max-timestamp"}}},
		{"api versions", toolCall{`Produce\(0\)`, apiVersions, nil}},
		{"cluster id", toolCall{`Cluster ID: \S+`, clusterTool, []string{"cluster-id"}}},
		{"log dirs", toolCall{`"partition":"tools-0"`, logDirs, []string{"--describe", "--topic-list", c.topic}}},
		{"metadata quorum", toolCall{`LeaderId:\s+1`, metadataQuorum, []string{"describe", "--status"}}},
		{"groups", toolCall{`tools\s+Classic`, groupsCommand, []string{"--list"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := k.expect(c, test.pattern, test.class, test.args...); err != nil {
				t.Error(err)
			}
		})
	}
}
