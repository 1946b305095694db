package group

import (
	"encoding/hex"
	"testing"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// The bytes are what Kafka 4.3.1's generated record classes write.
func TestRecordsOfShareGroupsAreKafkas(t *testing.T) {
	rows := []struct{ name, key, value string }{
		{"epoch", "000b000167", "000000000005000000000000000600"},
		{"member", "000a00016700016d", "000002720263032f68030274027500"},
		{"assigned", "000c000167", "0000000000050100080000000000000007"},
		{"target", "000d00016700016d", "000002010000000000000000000000000000020300000001000000020000"},
		{"current", "000e00016700016d", "000000000005000000040002010000000000000000000000000000020300000001000000020000"},
		{"states", "000f000167", "0000020100000000000000000000000000000202740200000001000201000000000000000000000000000002027403000000000000000200020100000000000000000000000000000202740000"},
	}
	g, topic, rack := groupKey{defaultTenant, "g"}, TopicID{0: 1, 15: 2}, "r"
	has := assignor.Partitions{topic: {1, 2}}
	m := &shareMember{id: "m", rackID: &rack, clientID: "c", clientHost: "/h", topics: []string{"t", "u"}, epoch: 5, previousEpoch: 4, assigned: has}
	written := map[string]coordinator.Record{
		"epoch": shareEpochRecord(g, 5, 6), "member": shareMemberRecord(g, m), "assigned": shareTargetEpochRecord(g, 5, 7),
		"target": shareTargetRecord(g, "m", has), "current": shareCurrentRecord(g, m),
		"states": shareStatesRecord(g, shareStates{
			initializing: map[TopicID]stateTopic{topic: {"t", []int32{1}}}, initialized: map[TopicID]stateTopic{topic: {"t", []int32{0, 2}}},
			deleting: map[TopicID]string{topic: "t"},
		}),
	}
	s := newShard(DefaultSettings, func() Topics { return noTopics{} })
	for _, row := range rows {
		have := written[row.name]
		if key, value := hex.EncodeToString(have.Key), hex.EncodeToString(have.Value); key != row.key || value != row.value {
			t.Errorf("%s is\n%s %s, Kafka writes\n%s %s", row.name, key, value, row.key, row.value)
		}
		if err := s.Replay(have); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if dump := dumpShare(s.shareOf(g)); dump != "  share epoch=5 hash=6 assigned=5 7 initializing=[t:1] initialized=[t:0,2] deleting=map["+
		"[1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 2]:t]\n  m c /h [t u] 5 4 "+showPartitions(has)+"\n  target m "+showPartitions(has)+"\n" {
		t.Errorf("the group that was read is\n%s", dump)
	}
}
