package record

import "encoding/binary"

// MarkerType is the outcome that a transaction marker tells.
type MarkerType int16

const (
	AbortMarker  MarkerType = 0
	CommitMarker MarkerType = 1
)

// String is Kafka's word for it.
func (t MarkerType) String() string {
	if t == CommitMarker {
		return "COMMIT"
	}
	return "ABORT"
}

// EndTxnMarker is the record of a control batch that ends a transaction on a partition.
type EndTxnMarker struct {
	Type             MarkerType
	CoordinatorEpoch int32
}

// EndTxnBatch builds the control batch of a marker, at base offset 0 and without a leader epoch.
func EndTxnBatch(producerID int64, producerEpoch int16, timestampMillis int64, marker EndTxnMarker) Batch {
	b := NewBuilder(BuilderOptions{PartitionLeaderEpoch: NoLeaderEpoch, HasProducer: true, ProducerID: producerID,
		ProducerEpoch: producerEpoch, BaseSequence: NoSequence, Transactional: true, Control: true})
	key := binary.BigEndian.AppendUint16(make([]byte, 2, 4), uint16(marker.Type)) // version 0, type
	value := binary.BigEndian.AppendUint32(make([]byte, 2, 6), uint32(marker.CoordinatorEpoch))
	b.Append(timestampMillis, key, value, nil)
	batch, err := b.Build()
	if err != nil {
		panic("BUG: build of a marker failed: " + err.Error())
	}
	return batch
}

// ParseEndTxnMarker reads the marker of a control batch. ok is false for control records of other types, which readers
// skip. Later versions of key and value are read as version 0, as in Kafka.
func ParseEndTxnMarker(b Batch) (marker EndTxnMarker, ok bool, err error) {
	for r, err := range b.Records(nil) {
		if err != nil {
			return marker, false, err
		}
		if len(r.Key) < 4 || int16(binary.BigEndian.Uint16(r.Key)) < 0 {
			return marker, false, invalid("Invalid version found for control record or a key of %d bytes", len(r.Key))
		}
		marker.Type = MarkerType(binary.BigEndian.Uint16(r.Key[2:]))
		if marker.Type != AbortMarker && marker.Type != CommitMarker {
			return EndTxnMarker{}, false, nil
		}
		if len(r.Value) < 6 || int16(binary.BigEndian.Uint16(r.Value)) < 0 {
			return EndTxnMarker{}, false, invalid("Invalid value size found for end transaction marker. Must have at "+
				"least 6 bytes, but found only %d", len(r.Value))
		}
		marker.CoordinatorEpoch = int32(binary.BigEndian.Uint32(r.Value[2:]))
		return marker, true, nil
	}
	return marker, false, invalid("control batch without a record")
}
