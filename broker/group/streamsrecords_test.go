package group

import (
	"encoding/hex"
	"testing"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// TestRecordsOfStreamsGroupsAreKafkas holds them against what Kafka 4.3.1's generated record classes write, and reads them
// back.
func TestRecordsOfStreamsGroupsAreKafkas(t *testing.T) {
	g := groupKey{defaultTenant, "g"}
	rack, instance := "r", "i"
	configs := func(n string) map[string]string { return map[string]string{"num.standby.replicas": n} }
	task := func(subtopology string, partition int32) assignor.Task {
		return assignor.Task{Subtopology: subtopology, Partition: partition}
	}
	m := &streamsMember{id: "m", rackID: &rack, clientID: "c", clientHost: "/h", rebalanceTimeoutMillis: 1000, topologyEpoch: 3, processID: "p",
		endpoint: &endpoint{"e", 65535}, tags: map[string]string{"k": "v"}}
	plain := &streamsMember{id: "m", instanceID: &instance, clientID: "c", clientHost: "/h", rebalanceTimeoutMillis: 1000, topologyEpoch: 3, processID: "p"}
	current := &streamsMember{id: "m", epoch: 5, previousEpoch: 4, state: memberUnrevoked,
		assigned: tasks{active: taskSet{task("0", 1): 4, task("0", 2): 5}, standby: taskSet{task("0", 3): 0}}, revoking: tasks{active: taskSet{task("1", 0): 4}}}
	app := topology.New(3, []topology.Subtopology{{
		ID: "0", Sources: []string{"t", "u"}, Changelogs: []topology.Topic{{Name: "y"}}, RepartitionSinks: []string{"x"},
		RepartitionSources: []topology.Topic{{Name: "x", Partitions: 4, ReplicationFactor: -1, Configs: []topology.Config{{Name: "k", Value: "v"}}}},
		Copartitions:       []topology.Copartition{{Sources: []int16{0, 1}, RepartitionSources: []int16{0}}},
	}})
	target := tasks{active: taskSet{task("0", 1): 0, task("0", 2): 0, task("1", 0): 0}, standby: taskSet{task("0", 3): 0}}
	s := newShard(DefaultSettings, func() Topics { return noTopics{} })
	for _, row := range []struct {
		name, key, value string
		record           coordinator.Record
	}{
		{"unvalidated", "0011000167", "000000000005000000000000000601011902156e756d2e7374616e6462792e7265706c69636173023000",
			streamsEpochRecord(g, streamsEpoch{5, 6, -1, configs("0")})},
		{"epoch", "0011000167", "000000000005000000000000000602000400000002011902156e756d2e7374616e6462792e7265706c69636173023100",
			streamsEpochRecord(g, streamsEpoch{5, 6, 2, configs("1")})},
		{"member without", "001300016700016d", "00000269000263032f68000003e8000000030270ff0100", streamsMemberRecord(g, plain)},
		{"member", "001300016700016d", "00000002720263032f68000003e8000000030270010265ffff0002026b02760000", streamsMemberRecord(g, m)},
		{"assigned", "0014000167", "0000000000050100080000000000000007", streamsTargetEpochRecord(g, 5, 7)},
		{"target", "001500016700016d", "00000302300300000001000000020002310200000000000202300200000003000100", streamsTargetRecord(g, "m", target)},
		{"current", "001600016700016d", "00000000000500000004020202300300000001000000020100090300000004000000050202300200000003000102023102000000000100050200000004010100",
			streamsCurrentRecord(g, current)},
		{"topology", "0017000167", "000000000003020230030274027501020279000000000000010002027802027800000004ffff02026b0276000002030000000101020000000000",
			streamsTopologyRecord(g, app)},
	} {
		if key, value := hex.EncodeToString(row.record.Key), hex.EncodeToString(row.record.Value); key != row.key || value != row.value {
			t.Errorf("%s is\n%s %s, Kafka writes\n%s %s", row.name, key, value, row.key, row.value)
		}
		if err := s.Replay(row.record); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		for n := range row.record.Value { // nothing of it is a whole value
			if err := newShard(DefaultSettings, func() Topics { return noTopics{} }).Replay(coordinator.Record{Key: row.record.Key, Value: row.record.Value[:n]}); err == nil {
				t.Errorf("%d of %d bytes of %s are taken for a whole value", n, len(row.record.Value), row.name)
			}
		}
	}
	want := newStreamsGroup()
	want.epoch, want.metadataHash, want.validated, want.configs, want.topology = 5, 6, 2, configs("1"), app
	want.setMember("m", &streamsMember{id: "m", rackID: &rack, clientID: "c", clientHost: "/h", topologyEpoch: 3, processID: "p", tags: m.tags,
		epoch: 5, previousEpoch: 4, state: memberUnrevoked, assigned: current.assigned, revoking: current.revoking})
	want.target["m"] = target
	want.setAssignment(5, 7)
	if have, want := dumpStreams(s.streamsOf(g)), dumpStreams(want); have != want {
		t.Errorf("the group that was read is\n%swant\n%s", have, want)
	}
	if have := s.streamsOf(g).members["m"]; have.endpoint == nil || *have.endpoint != *m.endpoint || have.rebalanceTimeoutMillis != 1000 {
		t.Errorf("the member that was read is %+v", have)
	}
}
