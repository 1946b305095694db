package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Producer is the identity under which a producer writes.
type Producer struct {
	ID    int64
	Epoch int16
}

// nobody is no producer.
func nobody() Producer { return Producer{noProducerID, noEpoch} }

// decision is what a request means for a state: an error, a wait, or a next state and an answer.
type decision struct {
	err  *kerr.Error
	next *state // to be written; nil: nothing changes
	hold bool   // the answer is found once the transaction is complete
	// wantsProducerID says that the request must come again with an id that nobody has.
	wantsProducerID bool
	answer          any
}

// request is one that a transactional id can be asked. known is nil where the id was never seen.
type request interface {
	decide(known *state, now time.Time) decision
	// hold is how long the answer may wait for the completion of the transaction before.
	hold() time.Duration
}

func refuse(err *kerr.Error) decision { return decision{err: err} }

// initRequest is InitProducerId.
type initRequest struct {
	timeoutMillis int32
	expected      Producer // ID noProducerID: the producer is new
	fresh         int64    // an id that nobody has; noProducerID: none was taken yet
	serverVersion int16    // of transactions that the broker ends
	patience      time.Duration
}

func (r initRequest) hold() time.Duration { return r.patience }

// decide follows TransactionCoordinator.prepareInitProducerIdTransit.
func (r initRequest) decide(known *state, now time.Time) decision {
	if known == nil {
		if r.fresh == noProducerID {
			return decision{wantsProducerID: true}
		}
		s := newState(r.fresh, r.timeoutMillis)
		known = &s
	}
	s := *known
	switch {
	case !r.isExpected(s):
		return refuse(kerr.ProducerFenced)
	case s.isPrepared():
		return decision{hold: true}
	case s.status == ongoing:
		next := s.fenced(r.serverVersion, now)
		if r.expected.ID == s.producerID && r.expected.Epoch == s.epoch {
			next.lastEpoch = s.epoch // it is the producer itself that begins anew, and may ask again
		}
		return decision{next: &next, hold: true}
	}
	return r.succeed(s, now)
}

// isExpected says whether the producer that asks may be the one that has the id, or had it until its epochs were used up.
func (r initRequest) isExpected(s state) bool {
	e := r.expected
	return e.ID == noProducerID || s.epoch == noEpoch || e.ID == s.producerID ||
		e.ID == s.previousProducerID && e.Epoch >= lastClientEpoch
}

// succeed gives the next epoch, or a new id. A producer that names the epoch before has not heard of its success, or of the end
// of its transaction: it is told again, and has no transaction. Kafka fails on such a question while the epochs are used up;
// here it is answered.
func (r initRequest) succeed(s state, now time.Time) decision {
	e := r.expected
	goesOn := e.ID != noProducerID && s.epoch != noEpoch
	switch {
	case goesOn && e.Epoch != s.epoch && e.Epoch != s.lastEpoch:
		return refuse(kerr.ProducerFenced)
	case goesOn && e.Epoch != s.epoch && s.epoch <= lastClientEpoch:
		next := s.withProducer(r.timeoutMillis, now)
		next.previousProducerID = s.previousProducerID // it may ask once more
		return decision{next: &next, answer: Producer{s.producerID, s.epoch}}
	case s.isExhausted() && r.fresh == noProducerID:
		return decision{wantsProducerID: true}
	}
	next := s.withProducer(r.timeoutMillis, now)
	next.lastEpoch = noEpoch
	if goesOn {
		next.lastEpoch = e.Epoch
	}
	if next.epoch++; s.isExhausted() {
		next.producerID, next.epoch = r.fresh, 0
	}
	return decision{next: &next, answer: Producer{next.producerID, next.epoch}}
}

// addRequest is AddPartitionsToTxn and AddOffsetsToTxn.
type addRequest struct {
	producer      Producer
	partitions    []topicPartitions
	clientVersion int16
	patience      time.Duration
}

func (r addRequest) hold() time.Duration { return r.patience }

func (r addRequest) decide(known *state, now time.Time) decision {
	if err := r.producer.fault(known); err != nil {
		return refuse(err)
	}
	switch s := *known; {
	case s.isPrepared():
		return decision{hold: true}
	case s.status == ongoing && containsAll(s.partitions, r.partitions):
		return decision{}
	default:
		next := s.withPartitions(r.partitions, r.clientVersion, now)
		return decision{next: &next}
	}
}

// fault says why a producer does not have the transactional id.
func (p Producer) fault(known *state) *kerr.Error {
	switch {
	case known == nil, known.producerID != p.ID:
		return kerr.InvalidProducerIDMapping
	case known.epoch != p.Epoch:
		return kerr.ProducerFenced
	}
	return nil
}

// verifyRequest asks which partitions are in the transaction.
type verifyRequest struct {
	producer   Producer
	partitions []Partition
}

func (r verifyRequest) hold() time.Duration { return 0 }

// decide answers an error for each partition: what is asked here is a write that has not been made, so that nothing waits.
func (r verifyRequest) decide(known *state, _ time.Time) decision {
	if err := r.producer.fault(known); err != nil {
		return refuse(err)
	}
	if known.isPrepared() {
		return refuse(kerr.ConcurrentTransactions)
	}
	faults := make([]*kerr.Error, len(r.partitions))
	for i, p := range r.partitions {
		if !contains(known.partitions, p) {
			faults[i] = kerr.TransactionAbortable
		}
	}
	return decision{answer: faults}
}
