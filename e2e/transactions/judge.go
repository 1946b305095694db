package transactions

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// copyPartitions is how many partitions both topics have.
const copyPartitions = 4

// abortedHeader marks what must never be seen.
const abortedHeader = "of a transaction that is aborted"

// original is the i-th record of the input: it holds its number in its partition.
func original(i int) *kgo.Record {
	return &kgo.Record{Partition: int32(i % copyPartitions), Value: binary.BigEndian.AppendUint64(nil, uint64(i/copyPartitions))}
}

// judge holds every record of a copy against the one that must come next.
type judge struct {
	next    [copyPartitions]uint64
	records int
	heard   int
}

func newJudge(records int) *judge { return &judge{records: records} }

// hear takes the next record that a reader of committed records saw, and says what is wrong with it.
func (j *judge) hear(r *kgo.Record) (fault string) {
	if len(r.Value) != 8 || r.Partition < 0 || r.Partition >= copyPartitions {
		return fmt.Sprintf("partition %d at offset %d: not a record of the input", r.Partition, r.Offset)
	}
	at, next := binary.BigEndian.Uint64(r.Value), j.next[r.Partition]
	j.next[r.Partition] = at + 1
	j.heard++
	switch {
	case len(r.Headers) > 0:
		return fmt.Sprintf("partition %d at offset %d: a record %s", r.Partition, r.Offset, r.Headers[0].Key)
	case at != next:
		return fmt.Sprintf("partition %d at offset %d: record %d, want %d", r.Partition, r.Offset, at, next)
	case j.heard > j.records:
		return fmt.Sprintf("partition %d at offset %d: more records than the %d of the input", r.Partition, r.Offset, j.records)
	}
	return ""
}
