package config

import (
	"fmt"
	"strings"
	"testing"
)

// overrides is a set of dynamic settings by resource.
type overrides map[Resource]map[string]string

func (o overrides) ConfigOverrides(r Resource) map[string]string { return o[r] }

func describe(e Entry) string {
	value := "null"
	if e.Value != nil {
		value = *e.Value
	}
	s := fmt.Sprintf("%s source=%d", value, e.Source)
	for _, syn := range e.Synonyms {
		v := "null"
		if syn.Value != nil {
			v = *syn.Value
		}
		s += fmt.Sprintf(" %s=%s@%d", syn.Name, v, syn.Source)
	}
	if e.ReadOnly {
		s += " read-only"
	}
	return s
}

func TestPrecedenceAndSynonyms(t *testing.T) {
	one, all := Resource{Type: BrokerResource, Name: "1"}, Resource{Type: BrokerResource}
	tests := []struct {
		name    string
		static  map[string]string
		dynamic overrides
		topic   map[string]string
		key     string
		want    string
	}{
		{name: "default by another unit shows no synonym", key: "retention.ms", want: "604800000 source=5"},
		{name: "default", key: "segment.bytes", want: "1073741824 source=5 log.segment.bytes=1073741824@5"},
		{name: "static in another unit counts but is not shown", static: map[string]string{"log.retention.hours": "2"}, key: "retention.ms", want: "7200000 source=5"},
		{name: "minutes before hours", static: map[string]string{"log.retention.hours": "2", "log.retention.minutes": "3"}, key: "retention.ms", want: "180000 source=5"},
		{name: "a negative time is no limit", static: map[string]string{"log.retention.minutes": "-1"}, key: "retention.ms", want: "-1 source=5"},
		{name: "static", static: map[string]string{"log.retention.ms": "5"}, key: "retention.ms", want: "5 source=4 log.retention.ms=5@4 log.retention.hours=168@5"},
		{name: "all brokers before static", static: map[string]string{"log.retention.ms": "5"}, dynamic: overrides{all: {"log.retention.ms": "6"}}, key: "retention.ms", want: "6 source=3 log.retention.ms=6@3 log.retention.ms=5@4 log.retention.hours=168@5"},
		{name: "this broker before all", dynamic: overrides{all: {"log.segment.bytes": "2000000"}, one: {"log.segment.bytes": "3000000"}}, key: "segment.bytes", want: "3000000 source=2 log.segment.bytes=3000000@2 log.segment.bytes=2000000@3 log.segment.bytes=1073741824@5"},
		{name: "topic first", dynamic: overrides{one: {"log.retention.ms": "6"}}, topic: map[string]string{"retention.ms": " 7"}, key: "retention.ms", want: "7 source=1 retention.ms=7@1 log.retention.ms=6@2 log.retention.hours=168@5"},
		{name: "no broker setting behind it", key: "remote.storage.enable", want: "false source=5"},
		{name: "flush by the scheduler", key: "flush.ms", want: "9223372036854775807 source=5"},
		{name: "our own default", static: map[string]string{"write.caching.default": "true"}, key: "write.caching", want: "true source=4 write.caching.default=true@4 write.caching.default=false@5"},
		{name: "roll hours", static: map[string]string{"log.roll.hours": "1"}, key: "segment.ms", want: "3600000 source=5"},
		{name: "another broker's settings do not count", dynamic: overrides{{Type: BrokerResource, Name: "2"}: {"log.segment.bytes": "3000000"}}, key: "segment.bytes", want: "1073741824 source=5 log.segment.bytes=1073741824@5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := NewResolver(1, tt.static).TopicWith(tt.dynamic, tt.topic)
			entry, ok := e.Entry(tt.key)
			if got := describe(entry); !ok || got != tt.want {
				t.Errorf("%s\n got: %s\nwant: %s", tt.key, got, tt.want)
			}
		})
	}
}

func TestBrokerEntries(t *testing.T) {
	dynamic := overrides{
		{Type: BrokerResource, Name: "1"}: {"ssl.keystore.password": "secret"},
		{Type: BrokerResource}:            {"log.retention.ms": "6"},
	}
	r := NewResolver(1, map[string]string{"num.partitions": "3"})
	e := r.Broker(dynamic)
	for key, want := range map[string]string{
		"num.partitions":        "3 source=4 num.partitions=3@4 num.partitions=1@5 read-only",
		"log.retention.ms":      "6 source=3 log.retention.ms=6@3 log.retention.hours=168@5",
		"log.retention.hours":   "168 source=5 log.retention.hours=168@5 read-only",
		"log.retention.minutes": "null source=5 read-only",
		"ssl.keystore.password": "null source=2 ssl.keystore.password=null@2",
		"node.id":               "1 source=4 node.id=1@4 read-only",
		"broker.id":             "1 source=4 broker.id=1@4 broker.id=-1@5 read-only",
	} {
		entry, _ := e.Entry(key)
		if got := describe(entry); got != want {
			t.Errorf("%s\n got: %s\nwant: %s", key, got, want)
		}
	}
	shown := map[string]bool{}
	for _, entry := range e.Entries() {
		shown[entry.Name] = true
	}
	if len(shown) < 320 || shown["unstable.api.versions.enable"] || !shown["ssl.keystore.password"] {
		t.Errorf("%d entries are shown, internal ones: %v", len(shown), shown["unstable.api.versions.enable"])
	}
	if entries := r.ClusterDefault(dynamic).Entries(); len(entries) != 1 || describe(entries[0]) != "6 source=3 log.retention.ms=6@3" {
		t.Errorf("the cluster's defaults are %v", entries)
	}
	group, _ := r.GroupWith(dynamic, map[string]string{"share.isolation.level": "read_committed"}).Entry("share.isolation.level")
	if got := describe(group); got != "read_committed source=8 share.isolation.level=read_committed@8 share.isolation.level=read_uncommitted@5" {
		t.Errorf("share.isolation.level is %s", got)
	}
	if _, ok := e.Entry("no.such.key"); ok {
		t.Error("an unknown key has an entry")
	}
}

func TestTopicSettings(t *testing.T) {
	r := NewResolver(1, map[string]string{"write.caching.default": "true", "log.cleanup.policy": "compact,delete"})
	s := r.TopicSettings(overrides{}, map[string]string{"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"})
	want := TopicSettings{
		CleanupDelete: true, CleanupCompact: true, CompressionType: "producer", CompressionGzipLevel: -1, CompressionLz4Level: 9, CompressionZstdLevel: 3,
		DeleteRetentionMillis: 86400000, FileDeleteDelayMillis: 60000, FlushMessages: 1<<63 - 1, FlushMillis: 1<<63 - 1, IndexIntervalBytes: 4096,
		MaxCompactionLagMillis: 1<<63 - 1, MaxMessageBytes: 1048588, LogAppendTime: true, TimestampBeforeMaxMillis: 1<<63 - 1, TimestampAfterMaxMillis: 3600000,
		MinCleanableDirtyRatio: 0.5, MinInSyncReplicas: 1, RetentionBytes: -1, RetentionMillis: -1, SegmentBytes: 1 << 30, SegmentIndexBytes: 10485760,
		SegmentMillis: 604800000, LocalRetentionBytes: -2, LocalRetentionMillis: -2, WriteCaching: true,
	}
	if *s != want {
		t.Errorf("\n got %+v\nwant %+v", *s, want)
	}
}

func TestChecksOfWholeResources(t *testing.T) {
	r := NewResolver(1, nil)
	tests := []struct{ what, set, want string }{
		{"topic", "retention.ms=5", ""},
		{"topic", "retention.mss=5", "Unknown topic config name: retention.mss"},
		{"topic", "min.compaction.lag.ms=9;max.compaction.lag.ms=8", "conflict topic config setting min.compaction.lag.ms (9) > max.compaction.lag.ms (8)"},
		{"topic", "remote.storage.enable=true", "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage."},
		{"broker", "num.partitions=5;node.id=3", "Cannot update these configs dynamically: [node.id, num.partitions]"},
		{"broker", "foo=5", "Unknown broker config name: foo"},
		{"broker", "log.segment.bytes=5", "Invalid value 5 for configuration log.segment.bytes: Value must be at least 1048576"},
		{"cluster", "listeners=x", "Cannot update these configs at default cluster level, broker id must be specified: [listeners]"},
		{"cluster", "log.segment.bytes=2000000", ""},
		{"group", "consumer.session.timeout.ms=1000", "consumer.session.timeout.ms must be greater than or equal to group.consumer.min.session.timeout.ms"},
		{"group", "consumer.heartbeat.interval.ms=20000", "consumer.heartbeat.interval.ms must be less than or equal to group.consumer.max.heartbeat.interval.ms"},
		{"group", "consumer.heartbeat.interval.ms=10000", ""},
		{"group", "foo=1", "Unknown group config name: foo"},
	}
	for _, tt := range tests {
		values := map[string]string{}
		for pair := range strings.SplitSeq(tt.set, ";") {
			k, v, _ := strings.Cut(pair, "=")
			values[k] = v
		}
		err := map[string]func() error{
			"topic":   func() error { return r.CheckTopic(overrides{}, values) },
			"broker":  func() error { return r.CheckBroker(values, true) },
			"cluster": func() error { return r.CheckBroker(values, false) },
			"group":   func() error { return r.CheckGroup(overrides{}, values) },
		}[tt.what]()
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s %s\n got: %s\nwant: %s", tt.what, tt.set, got, tt.want)
		}
	}
	if err := CheckStatic(map[string]string{"num.partitions": "0", "nope": "1", "log.retention.hours": "1"}); err == nil ||
		!strings.Contains(err.Error(), "nope: no such setting") || !strings.Contains(err.Error(), "num.partitions: Invalid value 0") {
		t.Errorf("CheckStatic: %v", err)
	}
}

func BenchmarkTopicSettings(b *testing.B) {
	r := NewResolver(1, nil)
	b.ReportAllocs()
	for b.Loop() {
		r.TopicSettings(overrides{}, nil)
	}
}
