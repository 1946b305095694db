package txn

import (
	"math"
	"time"
)

// status is where a transaction is, by Kafka's numbers.
type status int8

const (
	empty status = iota
	ongoing
	prepareCommit
	prepareAbort
	completeCommit
	completeAbort
	statusCount
)

func (s status) String() string {
	return [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}[s]
}

const (
	noProducerID = -1
	noEpoch      = -1
	noTime       = -1
	// lastClientEpoch is the highest epoch that a producer is given: one more is left to fence it with.
	lastClientEpoch = math.MaxInt16 - 1
	// epochBumpVersion is the transaction version in which the end of each transaction raises the epoch.
	epochBumpVersion = 2
)

// state is what is in the log of a transactional id. It is a value: nobody changes one that others have, partitions included.
type state struct {
	producerID         int64
	previousProducerID int64 // before the last change; tells a retry from a stranger when the id has changed
	nextProducerID     int64 // takes over when the transaction completes; noProducerID: the same goes on
	epoch              int16
	lastEpoch          int16 // the one before, whose holder may ask again; noEpoch: nobody may
	timeoutMillis      int32
	status             status
	partitions         []topicPartitions
	updateMillis       int64
	startMillis        int64
	clientVersion      int16 // transaction version of the producer when it last did something
}

// newState is that of a transactional id that was never seen.
func newState(producerID int64, timeoutMillis int32) state {
	return state{
		producerID: producerID, previousProducerID: noProducerID, nextProducerID: noProducerID, epoch: noEpoch, lastEpoch: noEpoch,
		timeoutMillis: timeoutMillis, startMillis: noTime,
	}
}

func (s state) isPrepared() bool { return s.status == prepareCommit || s.status == prepareAbort }

// isIdle says that there is no transaction.
func (s state) isIdle() bool { return s.status != ongoing && !s.isPrepared() }

func (s state) isExhausted() bool { return s.epoch >= lastClientEpoch }

// deadline is when an ongoing transaction has taken too long.
func (s state) deadline() (at time.Time, ok bool) {
	return time.UnixMilli(s.startMillis + int64(s.timeoutMillis)), s.status == ongoing
}

// moved returns the state with another status, as of now.
func (s state) moved(to status, now time.Time) state {
	s.previousProducerID = s.producerID
	s.status, s.updateMillis = to, now.UnixMilli()
	return s
}

// withProducer begins the life of a producer that has just been given its id and epoch.
func (s state) withProducer(timeoutMillis int32, now time.Time) state {
	s = s.moved(empty, now)
	s.timeoutMillis, s.partitions, s.startMillis = timeoutMillis, nil, noTime
	return s
}

// withPartitions adds partitions, which begins a transaction where there is none.
func (s state) withPartitions(added []topicPartitions, clientVersion int16, now time.Time) state {
	idle := s.isIdle()
	s = s.moved(ongoing, now)
	if idle {
		s.startMillis = s.updateMillis
	}
	s.partitions, s.clientVersion = union(s.partitions, added), clientVersion
	return s
}

// prepared decides the transaction. With version 2 it raises the epoch, so that nothing that was sent before the end counts
// for the next transaction; nextProducerID is a new one where the epochs are used up.
func (s state) prepared(commit bool, version int16, nextProducerID int64, now time.Time) state {
	idle := s.isIdle()
	to := prepareAbort
	if commit {
		to = prepareCommit
	}
	s = s.moved(to, now)
	if idle {
		s.startMillis = s.updateMillis // an abort of what never began
	}
	if version >= epochBumpVersion {
		s.lastEpoch = s.epoch
		if s.epoch < math.MaxInt16 { // at the limit only a fenced producer can be, whose transaction is aborted as it is
			s.epoch++
		}
	}
	s.nextProducerID, s.clientVersion = nextProducerID, version
	return s
}

// fenced aborts an ongoing transaction and shuts its producer out of it: the epoch is raised, once. With version 2 the end
// does that, and the producer, if nobody else has come, may ask for the epoch that it has now.
func (s state) fenced(version int16, now time.Time) state {
	if version < epochBumpVersion {
		s.lastEpoch = noEpoch
		if s.epoch < math.MaxInt16 {
			s.epoch++
		}
	}
	return s.prepared(false, version, noProducerID, now)
}

// completed ends a prepared transaction: all its markers are written.
func (s state) completed(now time.Time) state {
	to := completeAbort
	if s.status == prepareCommit {
		to = completeCommit
	}
	next := s.moved(to, now)
	next.partitions, next.nextProducerID = nil, noProducerID
	if s.nextProducerID != noProducerID {
		next.producerID, next.epoch = s.nextProducerID, 0
	}
	return next
}
