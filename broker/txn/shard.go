package txn

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// maxHeld bounds who waits for the completion of one transaction; more are told to come again.
const maxHeld = 64

// transaction is a transactional id with what is known of it.
type transaction struct {
	key   key
	state state // what the log says; changes in Replay only
	alarm alarm
	held  []held // who waits for the completion, in the order in which they came

	timedOut    time.Time  // the deadline that was told to have passed
	retryAbort  time.Time  // an abort that timed out could not be written: not before this again
	unfinished  *completed // it has its markers, which is written at retryFinish, or when somebody asks
	retryFinish time.Time
}

// held is a request that is decided when the transaction is complete.
type held struct {
	request request
	ticket  coordinator.Ticket
	until   time.Time
}

// shard is the state machine of one partition of __transaction_state: the transactional ids that hash to it. It is pure;
// package coordinator runs it.
type shard struct {
	settings     func() Settings
	transactions map[key]*transaction
	alarms       alarms
	leaderEpoch  int32     // of the partition: the coordinator epoch of markers
	resumeAt     time.Time // after a load, when decisions without a completion are looked for; zero: they were
	sweepAt      time.Time // when expired ids are looked for
	outbox       []Job     // decisions that are committed, for whoever runs the shard to send the markers of
	journal      []func()
	keeping      bool // between Begin and Commit or Rollback
	figures      figures
}

// figures are what metrics tell of a shard.
type figures struct {
	transactions                                  [statusCount]int64
	commits, aborts, timeouts, expired, heldTotal int64
}

func newShard(settings func() Settings) *shard {
	return &shard{settings: settings, transactions: make(map[key]*transaction)}
}

// asked is a request for a transactional id.
type asked struct {
	key     key
	request request
}

// wantsProducerID is the answer to a request that must come again with a producer id.
type wantsProducerID struct{}

// refused is the answer to a request that is refused.
type refused struct{ err *kerr.Error }

// prepared is stepped when a decision is committed. It names the decision: another one may have taken its place.
type prepared struct {
	key      key
	producer Producer
}

// completed is stepped when a decision has its markers, which were sent under the coordinator epoch: transactions of version 1
// all have one producer epoch, so that an earlier reign's news could be taken for this one's.
type completed struct {
	prepared
	coordinatorEpoch int32
}

// written is stepped when records are committed, or could not be written.
type written struct {
	decisions []prepared
	ends      []completed
}

// effects gathers what a step wants done.
type effects struct{ coordinator.Result }

// reply answers when what is written is committed.
func (e *effects) reply(ticket coordinator.Ticket, response any) {
	e.Replies = append(e.Replies, coordinator.Reply{Ticket: ticket, Response: response})
}

// replyNow answers with what does not depend on the log.
func (e *effects) replyNow(ticket coordinator.Ticket, response any) {
	e.Replies = append(e.Replies, coordinator.Reply{Ticket: ticket, Response: response, Now: true})
}

func (e *effects) note(message string, t *transaction, s state) {
	attributes := []any{"transactionalId", t.key.id, "producerId", s.producerID, "producerEpoch", s.epoch}
	if t.key.tenant != defaultTenant {
		attributes = append(attributes, "tenant", t.key.tenant)
	}
	e.Notes = append(e.Notes, coordinator.Note{Message: message, Attributes: attributes})
}

// then has the outcome of the records stepped. Several decisions may be written in one step.
func (e *effects) then(p prepared) { e.outcome().decisions = append(e.outcome().decisions, p) }

func (e *effects) outcome() *written {
	if e.Then == nil {
		e.Then = &written{}
	}
	return e.Then.(*written)
}

// Step implements coordinator.Shard.
func (s *shard) Step(event any, ticket coordinator.Ticket, now time.Time) coordinator.Result {
	do := &effects{}
	switch e := event.(type) {
	case asked:
		s.onAsked(e, ticket, now, do)
	case []completed:
		for _, c := range e {
			s.finish(c, now, do)
		}
	case coordinator.Outcome:
		s.onWritten(e.Event.(*written), e.Err, now, do)
	case coordinator.Tick:
		s.tick(now, do)
	case listRequest:
		do.replyNow(ticket, s.list(e, now))
	case describeRequest:
		do.reply(ticket, s.describe(e))
	default:
		panic(fmt.Sprintf("BUG: transaction shard got %T", event))
	}
	return do.Result
}

func (s *shard) onAsked(e asked, ticket coordinator.Ticket, now time.Time, do *effects) {
	t := s.transactions[e.key]
	if t == nil {
		s.askUnknown(e, ticket, now, do)
		return
	}
	h := held{e.request, ticket, now.Add(e.request.hold())}
	if t.unfinished == nil {
		s.ask(t, t.state, h, now, do)
		return
	}
	t.held = append(t.held, h)
	s.complete(*t.unfinished, now, do)
}

// askUnknown decides a request for an id that was never seen.
func (s *shard) askUnknown(e asked, ticket coordinator.Ticket, now time.Time, do *effects) {
	switch d := e.request.decide(nil, now); {
	case d.err != nil:
		do.reply(ticket, refused{d.err}) // that it is not there may depend on a tombstone on its way
	case d.wantsProducerID:
		do.replyNow(ticket, wantsProducerID{})
	default:
		do.Records = append(do.Records, stateRecord(e.key, *d.next))
		do.reply(ticket, d.answer)
	}
}

// ask decides a request for a state that the transaction has, or will have once the records of this step are replayed. It
// returns the state after it.
func (s *shard) ask(t *transaction, known state, h held, now time.Time, do *effects) state {
	d := h.request.decide(&known, now)
	if d.next != nil {
		s.write(t, known, *d.next, do)
		known = *d.next
	}
	switch {
	case d.err != nil:
		do.reply(h.ticket, refused{d.err})
	case d.wantsProducerID:
		do.replyNow(h.ticket, wantsProducerID{})
	case !d.hold:
		do.reply(h.ticket, d.answer)
	case len(t.held) >= maxHeld || !h.until.After(now):
		do.replyNow(h.ticket, refused{kerr.ConcurrentTransactions})
	default:
		t.held = append(t.held, h)
		s.figures.heldTotal++
		s.watch(t)
	}
	return known
}

// write has a state of a transaction written, and its markers sent if it is a decision.
func (s *shard) write(t *transaction, before, next state, do *effects) {
	do.Records = append(do.Records, stateRecord(t.key, next))
	if !next.isPrepared() {
		return
	}
	do.then(prepared{t.key, Producer{next.producerID, next.epoch}})
	if next.status == prepareCommit {
		s.figures.commits++
	} else {
		s.figures.aborts++
	}
}

// onWritten sends the markers of decisions that are committed. What is not known to be committed yet is asked for again; what
// could not be written is no decision any more. An end that could not be written is written later.
func (s *shard) onWritten(w *written, err error, now time.Time, do *effects) {
	for _, c := range w.ends {
		if t := s.transactions[c.key]; err != nil && t != nil && t.isDecided(c.producer) {
			t.unfinished, t.retryFinish = &c, now.Add(retryPause)
			s.watch(t)
		}
	}
	for _, p := range w.decisions {
		t := s.transactions[p.key]
		switch {
		case t == nil || !t.isDecided(p.producer):
		case err != nil:
			do.then(p)
		case len(t.state.partitions) == 0:
			s.complete(completed{p, s.leaderEpoch}, now, do)
		default:
			s.outbox = append(s.outbox, s.job(t))
		}
	}
}

// isDecided says whether the decision under these names is the one that waits for its markers.
func (t *transaction) isDecided(p Producer) bool {
	return t.state.isPrepared() && t.state.producerID == p.ID && t.state.epoch == p.Epoch
}

func (s *shard) job(t *transaction) Job {
	return Job{
		key: t.key, Producer: Producer{t.state.producerID, t.state.epoch}, Commit: t.state.status == prepareCommit,
		CoordinatorEpoch: s.leaderEpoch, Version: t.state.clientVersion, partitions: t.state.partitions,
	}
}

// finish ends a transaction that has its markers: at once where somebody waits for that, else a moment later. The producer's next
// transaction is likely to begin before, and both then take one write, and one fsync, instead of two.
func (s *shard) finish(c completed, now time.Time, do *effects) {
	t := s.transactions[c.key]
	linger := millis(s.settings().CompletionLingerMillis)
	if t == nil || linger == 0 || len(t.held) > 0 {
		s.complete(c, now, do)
	} else if t.isDecided(c.producer) && c.coordinatorEpoch == s.leaderEpoch {
		t.unfinished, t.retryFinish = &c, now.Add(linger)
		s.watch(t)
	}
}

// complete ends a transaction, and decides who waited for that: in the same batch, so that the next transaction's start waits
// for one write.
func (s *shard) complete(c completed, now time.Time, do *effects) {
	t := s.transactions[c.key]
	if t == nil || !t.isDecided(c.producer) || c.coordinatorEpoch != s.leaderEpoch {
		return
	}
	known := t.state.completed(now)
	do.Records = append(do.Records, stateRecord(t.key, known))
	do.outcome().ends = append(do.outcome().ends, c)
	waiting := t.held
	t.held, t.unfinished = nil, nil
	for _, h := range waiting {
		known = s.ask(t, known, h, now, do)
	}
	s.watch(t)
}

// NextDeadline implements coordinator.Shard.
func (s *shard) NextDeadline() (at time.Time, ok bool) {
	at, ok = s.alarms.next()
	for _, other := range []time.Time{s.resumeAt, s.sweepAt} {
		if !other.IsZero() && (!ok || other.Before(at)) {
			at, ok = other, true
		}
	}
	return at, ok
}

// Settled implements coordinator.Shard; whoever sends markers and counts wraps the shard.
func (s *shard) Settled() {}

// Closed implements coordinator.Shard.
func (s *shard) Closed() {}

func millis[N int32 | int64](n N) time.Duration { return time.Duration(n) * time.Millisecond }
