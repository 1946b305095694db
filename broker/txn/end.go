package txn

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// endRequest is EndTxn.
type endRequest struct {
	producer Producer
	commit   bool
	version  int16 // of transactions that the producer speaks
	fresh    int64 // as in initRequest
	patience time.Duration
}

func (r endRequest) hold() time.Duration { return r.patience }

func (r endRequest) decide(known *state, now time.Time) decision {
	if known == nil {
		return refuse(kerr.InvalidProducerIDMapping)
	}
	if r.version < epochBumpVersion {
		return r.decideV1(*known, now)
	}
	return r.decideV2(*known, now)
}

// decideV1 follows TransactionCoordinator.endTransactionWithTV1: the epoch stays, so that a retry looks like the end of the
// next transaction, and what counts is where the transaction is.
func (r endRequest) decideV1(s state, now time.Time) decision {
	if err := r.producer.fault(&s); err != nil {
		return refuse(err)
	}
	switch {
	case s.status == ongoing:
		next := s.prepared(r.commit, r.version, noProducerID, now)
		return decision{next: &next, answer: nobody()}
	case s.status == r.outcome(prepareCommit, prepareAbort):
		return decision{hold: true}
	case s.status == r.outcome(completeCommit, completeAbort):
		return decision{answer: nobody()}
	}
	return refuse(kerr.InvalidTxnState)
}

func (r endRequest) outcome(commit, abort status) status {
	if r.commit {
		return commit
	}
	return abort
}

// decideV2 follows TransactionCoordinator.endTransaction. The epoch tells a retry of the last end (it is one lower) from the
// end of a transaction that may be empty:
//
//	                abort                     commit
//	                retry   current           retry   current
//	Empty           fenced  bumps             fenced  invalid
//	CompleteAbort   again   bumps             invalid invalid
//	CompleteCommit  invalid bumps             again   invalid
func (r endRequest) decideV2(s state, now time.Time) decision {
	rolledOver := s.previousProducerID == r.producer.ID && r.producer.Epoch == lastClientEpoch && s.epoch == 0
	retry := rolledOver || s.producerID == r.producer.ID && s.epoch == r.producer.Epoch+1 && r.producer.Epoch >= 0
	current := s.epoch == r.producer.Epoch
	switch {
	case s.producerID != r.producer.ID && !rolledOver:
		return refuse(kerr.InvalidProducerIDMapping)
	case s.isPrepared() && current:
		return decision{hold: true} // of the next transaction, while the last one is being completed
	case s.isPrepared() && !retry, s.status == ongoing && !current, s.status == empty && !current, !retry && !current:
		return refuse(kerr.ProducerFenced)
	case s.isPrepared() && s.status == r.outcome(prepareCommit, prepareAbort):
		return decision{hold: true}
	case retry && s.status == r.outcome(completeCommit, completeAbort):
		return r.again(s, now)
	case s.status == ongoing, !s.isPrepared() && !retry && !r.commit:
		return r.prepare(s, now)
	}
	return refuse(kerr.InvalidTxnState)
}

// again answers a retry. After a fence at the last epoch that a producer is given (the transaction timed out) the epoch is one that no
// producer may have, since no marker could have a later one: then the producer goes on under another id (KAFKA-20090).
func (r endRequest) again(s state, now time.Time) decision {
	switch {
	case s.epoch <= lastClientEpoch:
		return decision{answer: Producer{s.producerID, s.epoch}}
	case r.fresh == noProducerID:
		return decision{wantsProducerID: true}
	}
	next := s.moved(s.status, now)
	next.producerID, next.epoch = r.fresh, 0
	return decision{next: &next, answer: Producer{next.producerID, next.epoch}}
}

func (r endRequest) prepare(s state, now time.Time) decision {
	if s.isExhausted() && r.fresh == noProducerID {
		return decision{wantsProducerID: true}
	}
	following := int64(noProducerID)
	if s.isExhausted() {
		following = r.fresh
	}
	next := s.prepared(r.commit, r.version, following, now)
	then := next.completed(now)
	return decision{next: &next, answer: Producer{then.producerID, then.epoch}}
}
