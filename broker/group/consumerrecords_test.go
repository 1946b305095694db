package group

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
)

// TestConsumerRecordsAreKafkas holds the records of consumer groups against what Apache Kafka 4.3.1's own classes write
// (org.apache.kafka.coordinator.group.generated), and reads them back.
func TestConsumerRecordsAreKafkas(t *testing.T) {
	key := groupKey{defaultTenant, "g"}
	id := TopicID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	text := func(s string) *string { return &s }
	described := &consumerMember{id: "m", instanceID: text("i"), clientID: "c", clientHost: "/h", topics: []string{"t", "u"}, regex: "x.*",
		rebalanceTimeoutMillis: 1000, assignorName: text("range")}
	classic := &consumerMember{id: "m", rackID: text("r"), clientID: "c", clientHost: "/h", topics: []string{"t"}, rebalanceTimeoutMillis: 1000,
		classic: &classicMetadata{sessionTimeoutMillis: 5, protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{1, 2}}}}}
	current := &consumerMember{id: "m", epoch: 4, previousEpoch: 3, state: memberUnrevoked, assigned: held{id: {0: 2, 1: 4}}}
	for _, tt := range []struct {
		name, key, value string
		record           coordinator.Record
	}{
		{"group", "0003 0001 67", "0000 00000007 01 00 08 1122334455667788", consumerEpochRecord(key, 7, 0x1122334455667788, -1)},
		{"group without topics", "0003 0001 67", "0000 00000007 00", consumerEpochRecord(key, 7, 0, -1)},
		{"member", "0005 0001 67 0001 6d", "0000 02690002 63032f68 0302740275 04782e2a 000003e8 0672616e6765 00", consumerMemberRecord(key, described)},
		{"classic member", "0005 0001 67 0001 6d", "0000 00 0272 0263 032f68 020274 01 000003e8 00 01 00 11 01 00000005 02 0672616e6765 030102 00 00", consumerMemberRecord(key, classic)},
		{"target's epoch", "0006 0001 67", "0000 00000009 00", consumerTargetEpochRecord(key, 9, 0)},
		{"target's time", "0006 0001 67", "0000 00000009 01 00 08 00000000000004d2", consumerTargetEpochRecord(key, 9, 1234)},
		{"target", "0007 0001 67 0001 6d", "0000 02 0102030405060708090a0b0c0d0e0f10 03 00000000 00000003 00 00",
			consumerTargetRecord(key, "m", assignor.Partitions{id: {0, 3}})},
		{"current", "0008 0001 67 0001 6d", "0000 00000004 00000003 02 02 0102030405060708090a0b0c0d0e0f10 03 00000000 00000001 01 00 09 03 00000002 00000004 01 00",
			consumerCurrentRecord(key, current)},
		{"regular expression", "0010 0001 67 0003 782e2a", "0000 02 0274 0000000000000000 000000000000004d 00",
			consumerRegexRecord(key, "x.*", &resolvedRegex{topics: []string{"t"}, millis: 77})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if want := unhex(t, tt.key); !bytes.Equal(tt.record.Key, want) {
				t.Errorf("key %s, Kafka's is %s", hex.EncodeToString(tt.record.Key), tt.key)
			}
			if want := unhex(t, tt.value); !bytes.Equal(tt.record.Value, want) {
				t.Errorf("value %s, Kafka's is %s", hex.EncodeToString(tt.record.Value), tt.value)
			}
			s := newShard(DefaultSettings, func() Topics { return noTopics{} })
			if err := s.Replay(tt.record); err != nil {
				t.Fatal(err)
			}
			for n := range tt.record.Value { // nothing of it is a whole value
				if err := newShard(DefaultSettings, func() Topics { return noTopics{} }).Replay(coordinator.Record{Key: tt.record.Key, Value: tt.record.Value[:n]}); err == nil {
					t.Errorf("%d of %d bytes are taken for a whole value", n, len(tt.record.Value))
				}
			}
		})
	}
}
