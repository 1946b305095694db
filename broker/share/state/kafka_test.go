package state

import (
	"encoding/hex"
	"testing"

	"github.com/millrace-io/millrace/broker/share/delivery"
)

// The bytes are what Kafka 4.3.1's ShareSnapshotKey, ShareSnapshotValue, ShareUpdateKey and ShareUpdateValue write.
func TestRecordsAreKafkas(t *testing.T) {
	k := Key{Group: "g", Topic: [16]byte{0: 1, 15: 2}, Partition: 3}
	snapshot := snapshotRecord(k, &partitionState{snapshotEpoch: 1, stateEpoch: 2, leaderEpoch: 3, start: 4, createdMillis: 5, writtenMillis: 6,
		through: 7, batches: []delivery.Batch{{First: 8, Last: 9, State: delivery.Archived, Count: 10}}})
	updated := updateRecord(k, update{snapshotEpoch: 1, leaderEpoch: 3, start: -1, through: -1})
	for what, row := range map[string]struct {
		have []byte
		want string
	}{
		"snapshot key":   {snapshot.Key, kafkaSnapshotKey},
		"snapshot value": {snapshot.Value, kafkaSnapshotValue},
		"update key":     {updated.Key, kafkaUpdateKey},
		"update value":   {updated.Value, kafkaUpdateValue},
	} {
		if have := hex.EncodeToString(row.have); have != row.want {
			t.Errorf("%s is\n%s, Kafka writes\n%s", what, have, row.want)
		}
	}
	if p := PartitionFor(k, 50); p != kafkaPartition {
		t.Errorf("%s lies in partition %d, Kafka has it in %d", k, p, kafkaPartition)
	}
}

// Printed by those classes.
const (
	kafkaSnapshotKey   = "00000001670100000000000000000000000000000200000003"
	kafkaSnapshotValue = "0000000000010000000200000003000000000000000400000000000000050000000000000006020000000000000008000000000000000904000a0001000400000007"
	kafkaUpdateKey     = "00010001670100000000000000000000000000000200000003"
	kafkaUpdateValue   = "00000000000100000003ffffffffffffffff0100"
	kafkaPartition     = 12
)
