package producer

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Check says how much of a batch is verified.
type Check int8

const (
	CheckSequence Check = iota // epoch and sequence: batches of clients
	CheckEpoch                 // batches of coordinators
	CheckNothing               // replicas and recovery: the leader has checked
)

// Info is the part of a batch header that matters here.
type Info struct {
	ProducerID         int64
	BaseOffset         int64
	LastOffset         int64
	MaxTimestampMillis int64
	BaseSequence       int32
	LastSequence       int32
	Epoch              int16
	Transactional      bool
	Control            bool
	// Of the marker that a control batch holds; HasMarker is false for other control batches.
	HasMarker        bool
	Abort            bool
	CoordinatorEpoch int32
	// TransactionVersion is what the coordinator says the marker is of: from version 2 on it has a later epoch than the
	// records it ends.
	TransactionVersion int8
	// Guard is what BeginVerification gave for a batch of a transaction.
	Guard Guard
}

// CompletedTxn is a transaction whose end marker was appended.
type CompletedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64 // of the marker
	LastStableOffset int64 // once this transaction is out of the way
	Aborted          bool
}

type openTxn struct {
	firstOffset int64
	producerID  int64
}

type decidedTxn struct {
	firstOffset int64
	lastOffset  int64
}

// Undo holds what Append changed. The zero value is ready; it may be reused after Undo or when it is forgotten.
type Undo struct {
	previous     State
	existed      bool
	verification *verification
}

// Table holds the producers of one log. The zero value is an empty table. Not safe for concurrent use.
type Table struct {
	states  map[int64]*State
	ongoing []openTxn    // by first offset
	decided []decidedTxn // by first offset; their marker is not below the high watermark yet

	verifying map[int64]*verification // by producer id: questions to the coordinator; not in snapshots
}

// Len is the number of known producers.
func (t *Table) Len() int { return len(t.states) }

// Duplicate finds the batch that a client sends once more.
func (t *Table) Duplicate(in *Info) (Batch, bool) {
	s := t.states[in.ProducerID]
	if s == nil {
		return Batch{}, false
	}
	return s.find(in.Epoch, in.BaseSequence, in.LastSequence)
}

// Append checks a batch and takes it in. A refusal is a kerr value wrapped by a message and changes nothing. completed
// is set when the batch ended a transaction that had data here.
func (t *Table) Append(in *Info, check Check, undo *Undo) (completed CompletedTxn, ended bool, err error) {
	s := t.states[in.ProducerID]
	undo.existed, undo.verification = s != nil, nil
	if s == nil {
		undo.previous = newState(in.ProducerID)
		s = &undo.previous
	} else {
		undo.previous = *s
	}
	if in.Control && !in.HasMarker {
		return CompletedTxn{}, false, nil // a transaction whose records compaction removed
	}
	if err := t.check(s, in, check); err != nil {
		return CompletedTxn{}, false, err
	}
	if !undo.existed {
		s = t.add(in.ProducerID)
	}
	if in.Transactional && len(t.verifying) > 0 {
		undo.verification = t.endVerification(in)
	}
	if in.Control {
		completed, ended = t.end(s, in)
		return completed, ended, nil
	}
	t.data(s, in)
	return CompletedTxn{}, false, nil
}

func (t *Table) add(id int64) *State {
	if t.states == nil {
		t.states = make(map[int64]*State)
	}
	s := new(State)
	*s = newState(id)
	t.states[id] = s
	return s
}

func (t *Table) check(s *State, in *Info, check Check) error {
	if check == CheckNothing {
		return nil
	}
	if in.Epoch < s.Epoch {
		return fmt.Errorf("epoch of producer %d at offset %d is %d, which is smaller than the last seen epoch %d: %w",
			in.ProducerID, in.BaseOffset, in.Epoch, s.Epoch, kerr.InvalidProducerEpoch)
	}
	if in.Control {
		return s.checkMarker(in)
	}
	if err := t.checkVerified(s, in); err != nil {
		return err
	}
	if check == CheckSequence {
		if err := t.checkVerifiedSequence(s, in); err != nil {
			return err
		}
		if err := s.checkSequence(in); err != nil {
			return err
		}
	}
	if s.TxnFirstOffset != None && !in.Transactional {
		return fmt.Errorf("expected transactional write from producer %d at offset %d: %w",
			in.ProducerID, in.BaseOffset, kerr.InvalidTxnState)
	}
	return nil
}

// checkMarker refuses the marker of a coordinator that is none any more. A marker of transaction version 2 has a later
// epoch than what it ends, so that one which comes late, or twice, cannot end the producer's next transaction: it is let
// in only where nothing is open. There is none later than the last of all: a producer that has that one, from a coordinator that
// gave it by mistake, would be stuck for ever (KAFKA-20090).
func (s *State) checkMarker(in *Info) error {
	if in.TransactionVersion >= 2 && in.Epoch == s.Epoch && s.TxnFirstOffset != None && in.Epoch < math.MaxInt16 {
		return fmt.Errorf("epoch of the marker for producer %d at offset %d is %d, which is that of its open transaction: %w",
			in.ProducerID, in.BaseOffset, in.Epoch, kerr.InvalidProducerEpoch)
	}
	if s.CoordinatorEpoch > in.CoordinatorEpoch {
		return fmt.Errorf("invalid coordinator epoch for producer %d at offset %d: %d (zombie), %d (current): %w",
			in.ProducerID, in.BaseOffset, in.CoordinatorEpoch, s.CoordinatorEpoch, kerr.TransactionCoordinatorFenced)
	}
	return nil
}

// checkSequence accepts any sequence of an unknown producer: its records may all have been deleted.
func (s *State) checkSequence(in *Info) error {
	if s.Epoch == None {
		return nil
	}
	if in.Epoch != s.Epoch {
		if in.BaseSequence == 0 {
			return nil
		}
		return fmt.Errorf("invalid sequence number for new epoch of producer %d at offset %d: %d (request epoch), %d (seq. number), %d (current producer epoch): %w",
			in.ProducerID, in.BaseOffset, in.Epoch, in.BaseSequence, s.Epoch, kerr.OutOfOrderSequenceNumber)
	}
	last := s.LastSequence()
	if follows(last, in.BaseSequence) {
		return nil
	}
	return fmt.Errorf("out of order sequence number for producer %d at offset %d: %d (incoming seq. number), %d (current end sequence number): %w",
		in.ProducerID, in.BaseOffset, in.BaseSequence, last, kerr.OutOfOrderSequenceNumber)
}

func follows(last, next int32) bool {
	return int64(next) == int64(last)+1 || next == 0 && last == math.MaxInt32
}

func (t *Table) data(s *State, in *Info) {
	s.setEpoch(in.Epoch)
	s.remember(Batch{
		LastOffset: in.LastOffset, TimestampMillis: in.MaxTimestampMillis,
		LastSequence: in.LastSequence, OffsetDelta: int32(in.LastOffset - in.BaseOffset),
	})
	s.LastTimestampMillis = in.MaxTimestampMillis
	if in.Transactional && s.TxnFirstOffset == None {
		s.TxnFirstOffset = in.BaseOffset
		t.open(openTxn{firstOffset: in.BaseOffset, producerID: in.ProducerID})
	}
}

func (t *Table) end(s *State, in *Info) (CompletedTxn, bool) {
	first := s.TxnFirstOffset
	s.setEpoch(in.Epoch)
	s.CoordinatorEpoch = in.CoordinatorEpoch
	s.LastTimestampMillis = in.MaxTimestampMillis
	s.TxnFirstOffset = None
	if first == None {
		return CompletedTxn{}, false
	}
	t.closeOpen(first)
	t.decide(decidedTxn{firstOffset: first, lastOffset: in.LastOffset})
	stable := in.LastOffset + 1
	if len(t.ongoing) > 0 {
		stable = t.ongoing[0].firstOffset
	}
	return CompletedTxn{
		ProducerID: in.ProducerID, FirstOffset: first, LastOffset: in.LastOffset,
		LastStableOffset: stable, Aborted: in.Abort,
	}, true
}

// Undo takes back the last Append that filled undo. Several are taken back in reverse order.
func (t *Table) Undo(undo *Undo) {
	id := undo.previous.ID
	if undo.verification != nil {
		t.verifying[id] = undo.verification
	}
	s := t.states[id]
	if s == nil {
		return
	}
	before, after := undo.previous.TxnFirstOffset, s.TxnFirstOffset
	switch {
	case before == None && after != None:
		t.closeOpen(after)
	case before != None && after == None:
		t.decided = slices.DeleteFunc(t.decided, func(d decidedTxn) bool { return d.firstOffset == before })
		t.open(openTxn{firstOffset: before, producerID: id})
	}
	if undo.existed {
		*s = undo.previous
	} else {
		delete(t.states, id)
	}
}

func (t *Table) open(txn openTxn) {
	i, _ := slices.BinarySearchFunc(t.ongoing, txn, func(a, b openTxn) int { return cmp.Compare(a.firstOffset, b.firstOffset) })
	t.ongoing = slices.Insert(t.ongoing, i, txn)
}

func (t *Table) closeOpen(firstOffset int64) {
	t.ongoing = slices.DeleteFunc(t.ongoing, func(o openTxn) bool { return o.firstOffset == firstOffset })
}

func (t *Table) decide(txn decidedTxn) {
	i, _ := slices.BinarySearchFunc(t.decided, txn, func(a, b decidedTxn) int { return cmp.Compare(a.firstOffset, b.firstOffset) })
	t.decided = slices.Insert(t.decided, i, txn)
}

// FirstUnstableOffset is the first offset of a transaction that is open, or whose end is not replicated yet; None when
// there is no such transaction.
func (t *Table) FirstUnstableOffset() int64 {
	first := int64(None)
	if len(t.ongoing) > 0 {
		first = t.ongoing[0].firstOffset
	}
	if len(t.decided) > 0 && (first == None || t.decided[0].firstOffset < first) {
		first = t.decided[0].firstOffset
	}
	return first
}

// SetHighWatermark forgets the transactions whose end marker lies below offset: they are stable now. The log start
// offset, when it moves, does the same.
func (t *Table) SetHighWatermark(offset int64) {
	t.decided = slices.DeleteFunc(t.decided, func(d decidedTxn) bool { return d.lastOffset < offset })
}

// RemoveExpired forgets producers without an open transaction that have been idle for so long.
func (t *Table) RemoveExpired(nowMillis, expirationMillis int64) (removed int) {
	for id, s := range t.states {
		if s.TxnFirstOffset == None && nowMillis-s.LastTimestampMillis >= expirationMillis {
			delete(t.states, id)
			removed++
		}
	}
	for id, v := range t.verifying {
		if nowMillis-v.sinceMillis >= expirationMillis {
			delete(t.verifying, id)
		}
	}
	return removed
}

// Get returns a copy of one producer's state.
func (t *Table) Get(id int64) (State, bool) {
	if s := t.states[id]; s != nil {
		return *s, true
	}
	return State{}, false
}

// States returns copies of all, by producer id.
func (t *Table) States() []State {
	all := make([]State, 0, len(t.states))
	for _, s := range t.states {
		all = append(all, *s)
	}
	slices.SortFunc(all, func(a, b State) int { return cmp.Compare(a.ID, b.ID) })
	return all
}
