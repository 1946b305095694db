package producer

// BatchesKept is how many batches of a producer are remembered, to answer duplicates.
const BatchesKept = 5

// None stands for "no offset", "no sequence" and "no epoch".
const None = -1

// Batch is one remembered batch of a producer.
type Batch struct {
	LastOffset      int64
	TimestampMillis int64
	LastSequence    int32
	OffsetDelta     int32
}

// FirstOffset is where the batch begins in the log.
func (b Batch) FirstOffset() int64 { return b.LastOffset - int64(b.OffsetDelta) }

// FirstSequence wraps as sequences do, from 2^31-1 to 0.
func (b Batch) FirstSequence() int32 {
	if b.LastSequence < b.OffsetDelta {
		return int32(int64(b.LastSequence) - int64(b.OffsetDelta) + 1<<31)
	}
	return b.LastSequence - b.OffsetDelta
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

func newState(id int64) State {
	return State{ID: id, LastTimestampMillis: None, TxnFirstOffset: None, CoordinatorEpoch: None, Epoch: None}
}

// Batches are the remembered ones, the oldest first.
func (s *State) Batches() []Batch { return s.batches[:s.count] }

// LastSequence is None when no batch is remembered.
func (s *State) LastSequence() int32 {
	if s.count == 0 {
		return None
	}
	return s.batches[s.count-1].LastSequence
}

// LastOffset of the newest remembered batch, None when there is none.
func (s *State) LastOffset() int64 {
	if s.count == 0 {
		return None
	}
	return s.batches[s.count-1].LastOffset
}

// find returns the remembered batch with exactly these sequences.
func (s *State) find(epoch int16, firstSequence, lastSequence int32) (Batch, bool) {
	if s.Epoch != epoch {
		return Batch{}, false
	}
	for _, b := range s.Batches() {
		if b.LastSequence == lastSequence && b.FirstSequence() == firstSequence {
			return b, true
		}
	}
	return Batch{}, false
}

func (s *State) setEpoch(epoch int16) {
	if s.Epoch != epoch {
		s.Epoch, s.count = epoch, 0
	}
}

func (s *State) remember(b Batch) {
	if s.count == BatchesKept {
		copy(s.batches[:], s.batches[1:])
		s.count--
	}
	s.batches[s.count] = b
	s.count++
}
