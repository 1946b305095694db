package producer

import (
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Guard ties what the transaction coordinator said of a producer to what the log knew of it when the question was
// asked: a batch that begins a transaction here is let in with the guard of its question only, and a marker, or the
// first batch, makes it void. So an answer that was overtaken by the end of its transaction opens nothing that nobody
// would end. Kafka: VerificationGuard.
type Guard uint64

const (
	// NoGuard lets a batch into a transaction that is open already, and nowhere else.
	NoGuard Guard = 0
	// Unverified lets a batch begin a transaction that nobody was asked about: for those who may switch verification off.
	Unverified Guard = math.MaxUint64
)

// verification is a question under way. Kafka: VerificationStateEntry.
type verification struct {
	guard       Guard
	sinceMillis int64
	// lowestSequence is of all batches that were to be verified: a later one must not overtake an earlier one whose
	// question failed, or the earlier one would be out of order for ever.
	lowestSequence int32
	epoch          int16
	bumps          bool // of a client whose epoch rises with every transaction: sequences begin at 0 then
}

// BeginVerification says under which guard the coordinator is to be asked about a batch of a producer: NoGuard when the
// transaction is open here and nobody needs to be asked. bumps says that the producer gets a new epoch for each
// transaction (KIP-890). A producer that is fenced is refused at once. next is given where there is no question under way;
// the caller never uses it twice.
func (t *Table) BeginVerification(id int64, epoch int16, sequence int32, bumps bool, next Guard, nowMillis int64) (Guard, error) {
	if s := t.states[id]; s != nil {
		if epoch < s.Epoch {
			return NoGuard, fmt.Errorf("epoch of producer %d is %d, which is smaller than the last seen epoch %d: %w",
				id, epoch, s.Epoch, kerr.InvalidProducerEpoch)
		}
		if s.hasOpen(epoch) {
			return NoGuard, nil
		}
		sequence = s.unwritten(epoch, sequence)
	}
	v := t.verifying[id]
	if v == nil {
		if t.verifying == nil {
			t.verifying = make(map[int64]*verification)
		}
		v = &verification{guard: next, sinceMillis: nowMillis, lowestSequence: sequence, epoch: epoch, bumps: bumps}
		t.verifying[id] = v
	}
	if epoch > v.epoch || epoch == v.epoch && sequence < v.lowestSequence {
		v.epoch, v.lowestSequence = epoch, sequence
	}
	return v.guard, nil
}

// unwritten is a batch's sequence; the next one where a batch of that sequence was written before: a copy of it that comes
// late, and is refused, is not one that later batches must not overtake. (Kafka lets it keep them out.)
func (s *State) unwritten(epoch int16, sequence int32) int32 {
	last := s.LastSequence()
	switch {
	case s.Epoch != epoch || s.count == 0 || sequence < 0 || sequence > last:
		return sequence
	case last == math.MaxInt32:
		return 0
	}
	return last + 1
}

// hasOpen reports whether the producer's transaction of this epoch is open.
func (s *State) hasOpen(epoch int16) bool { return s.TxnFirstOffset != None && s.Epoch == epoch }

// checkVerified refuses a batch that would begin a transaction which the coordinator has not been asked about since the
// last one ended.
func (t *Table) checkVerified(s *State, in *Info) error {
	if !in.Transactional || in.Guard == Unverified || s.hasOpen(in.Epoch) {
		return nil
	}
	if v := t.verifying[in.ProducerID]; v == nil || in.Guard == NoGuard || v.guard != in.Guard {
		return fmt.Errorf("record was not part of an ongoing transaction: %w", kerr.InvalidTxnState)
	}
	return nil
}

// checkVerifiedSequence keeps a batch from overtaking an earlier one that was refused while it was verified.
func (t *Table) checkVerifiedSequence(s *State, in *Info) error {
	v := t.verifying[in.ProducerID]
	switch {
	case v == nil:
	case v.bumps && in.BaseSequence != 0 && s.count == 0:
		return fmt.Errorf("invalid sequence number for producer %d at offset %d: %d (incoming seq. number), expected 0: %w",
			in.ProducerID, in.BaseOffset, in.BaseSequence, kerr.OutOfOrderSequenceNumber)
	case in.BaseSequence > v.lowestSequence:
		return fmt.Errorf("out of order sequence number for producer %d at offset %d: %d (incoming seq. number), %d (earliest seen sequence): %w",
			in.ProducerID, in.BaseOffset, in.BaseSequence, v.lowestSequence, kerr.OutOfOrderSequenceNumber)
	}
	return nil
}

// endVerification makes the guard void: the transaction is open, or over. It returns what Undo needs. The marker of a
// transaction before leaves it as it is: with an epoch for each transaction, what ends the batch's own one has a later epoch
// than the batch, and the coordinator may be asked, and hold its answer, while the one before is still being completed.
func (t *Table) endVerification(in *Info) *verification {
	v := t.verifying[in.ProducerID]
	if v == nil || in.Control && v.bumps && in.Epoch <= v.epoch {
		return nil
	}
	delete(t.verifying, in.ProducerID)
	return v
}
