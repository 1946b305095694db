package producer

// BatchesKept is how many batches of a producer are remembered, to answer duplicates.
const BatchesKept = 5

// None stands for "no offset" and "no sequence".
const None = -1

// Batch is one remembered batch of a producer.
type Batch struct {
	LastOffset      int64
	TimestampMillis int64
	LastSequence    int32
	OffsetDelta     int32
}

// State is what is known of one producer. Values are copied freely.
type State struct {
	ID                  int64
	LastTimestampMillis int64
	TxnFirstOffset      int64 // of the open transaction; None
	CoordinatorEpoch    int32
	Epoch               int16 // None: nothing known
	count               int8
	batches             [BatchesKept]Batch // the oldest first
}

// LastSequence is None when no batch is remembered.
func (s *State) LastSequence() int32 {
	if s.count == 0 {
		return None
	}
	return s.batches[s.count-1].LastSequence
}
