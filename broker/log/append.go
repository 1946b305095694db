package log

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
)

// appendScratch is what one append works with; pooled, so that an append allocates nothing.
type appendScratch struct {
	bufs      [][]byte
	placed    []segment.Placed
	sizeBytes int
	next      int64 // log end offset once what is staged is written
	lend      bool  // readers may have what is written from memory
	undo      []producer.Undo
	aborted   []segment.AbortedTxn
	epochs    []epochEntry
	firstMax  int64 // largest timestamp of the first staged batch
	entries   []int // indexes of the staged entries
	info      producer.Info
}

func (w *appendScratch) reset() {
	clear(w.bufs)
	w.bufs, w.placed, w.undo = w.bufs[:0], w.placed[:0], w.undo[:0]
	w.aborted, w.epochs, w.entries = w.aborted[:0], w.epochs[:0], w.entries[:0]
	w.sizeBytes = 0
}

// Append writes the entries' batches at the end of the log: offsets and leader epoch are patched in place, consecutive
// batches go out in one write. An entry that has its Err already is left out. A batch that is refused has its Err set and leaves the others alone. err is a storage
// error: entries from some point on are not appended and have it as their Err, too; with ErrNoSpace a later append may
// succeed.
func (l *Log) Append(entries []Entry, leaderEpoch int32, origin Origin) (appended int, err error) {
	return l.append(entries, leaderEpoch, origin, false)
}

func (l *Log) append(entries []Entry, leaderEpoch int32, origin Origin, lend bool) (appended int, err error) {
	check := producer.CheckSequence
	switch origin {
	case OriginCoordinator:
		check = producer.CheckEpoch
	case OriginReplication:
		check = producer.CheckNothing
	}
	if planted.Enabled {
		check = plantedCheck(check)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		refuse(entries, err)
		return 0, err
	}
	w := l.dir.scratch.Get().(*appendScratch)
	defer l.dir.scratch.Put(w)
	w.reset()
	w.next, w.lend = l.logEnd.Load(), lend
	cfg := l.config.Load()
	logStart := l.logStart.Load()
	for i := range entries {
		e := &entries[i]
		e.LogStartOffset = logStart
		if e.Err != nil {
			continue
		}
		if int64(len(e.Batch)) > cfg.SegmentBytes {
			e.Err = fmt.Errorf("batch of %d bytes is larger than segment.bytes %d: %w", len(e.Batch), cfg.SegmentBytes, kerr.RecordListTooLarge)
			continue
		}
		e.Batch.SetBaseOffset(w.next)
		e.Batch.SetPartitionLeaderEpoch(leaderEpoch)
		if err := l.makeRoom(w, e.Batch, cfg); err != nil {
			refuse(entries[firstUnwritten(w, i):], err)
			return appended, err
		}
		if len(w.entries) == 0 {
			appended = countAppended(entries[:i])
		}
		if l.admit(w, e, check) {
			l.stage(w, e.Batch, leaderEpoch)
			w.entries = append(w.entries, i)
			e.BaseOffset, e.LastOffset = e.Batch.BaseOffset(), e.Batch.LastOffset()
			e.LogAppendTimeMillis = record.NoTimestamp
			if e.Batch.Attributes().TimestampType() == record.LogAppendTime {
				e.LogAppendTimeMillis = e.Batch.MaxTimestamp()
			}
		}
	}
	if err := l.writeStaged(w, cfg); err != nil {
		refuse(entries[firstUnwritten(w, len(entries)):], err)
		return appended, err
	}
	if cfg.FlushMessages != never && l.logEnd.Load()-l.flushed.Load() >= cfg.FlushMessages {
		l.RequestFlush()
	}
	return countAppended(entries), nil
}

func refuse(entries []Entry, err error) {
	for i := range entries {
		if entries[i].Err == nil && !entries[i].Duplicate {
			entries[i].Err = err
		}
	}
}

func firstUnwritten(w *appendScratch, current int) int {
	if len(w.entries) > 0 {
		return w.entries[0]
	}
	return current
}

func countAppended(entries []Entry) (n int) {
	for i := range entries {
		if entries[i].Err == nil && !entries[i].Duplicate {
			n++
		}
	}
	return n
}

// AppendAsFollower writes batches as the leader sent them. They must follow the end of the log.
func (l *Log) AppendAsFollower(batches []record.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return err
	}
	next := l.logEnd.Load()
	for _, b := range batches {
		if b.BaseOffset() < next {
			return fmt.Errorf("append to %s: offset %d is below the end %d: %w", l.tp, b.BaseOffset(), next, kerr.InvalidRecord)
		}
		next = b.NextOffset()
	}
	w := l.dir.scratch.Get().(*appendScratch)
	defer l.dir.scratch.Put(w)
	w.reset()
	w.next, w.lend = l.logEnd.Load(), false
	cfg := l.config.Load()
	for _, b := range batches {
		if err := l.makeRoom(w, b, cfg); err != nil {
			return err
		}
		e := Entry{Batch: b}
		if l.admit(w, &e, producer.CheckNothing); e.Err != nil {
			return errors.Join(e.Err, l.writeStaged(w, cfg))
		}
		l.stage(w, b, b.PartitionLeaderEpoch())
	}
	if err := l.writeStaged(w, cfg); err != nil {
		return err
	}
	if cfg.FlushMessages != never && l.logEnd.Load()-l.flushed.Load() >= cfg.FlushMessages {
		l.RequestFlush()
	}
	return nil
}

// admit holds a batch against its producer's state and takes it in there. It reports whether the batch is to be written.
func (l *Log) admit(w *appendScratch, e *Entry, check producer.Check) bool {
	if e.Batch.ProducerID() == record.NoProducerID {
		return true
	}
	if e.Err = fillInfo(&w.info, e.Batch); e.Err != nil {
		return false
	}
	w.info.Guard, w.info.TransactionVersion = e.Guard, e.TransactionVersion
	if l.producers == nil {
		l.producers = &producer.Table{}
	}
	if check == producer.CheckSequence && !w.info.Control {
		if original, ok := l.producers.Duplicate(&w.info); ok {
			e.Duplicate = true
			// Kafka tells a duplicate's time whatever the topic's timestamp type (UnifiedLog.append).
			e.BaseOffset, e.LastOffset, e.LogAppendTimeMillis = original.FirstOffset(), original.LastOffset, original.TimestampMillis
			return false
		}
	}
	w.undo = append(w.undo, producer.Undo{})
	completed, ended, err := l.producers.Append(&w.info, check, &w.undo[len(w.undo)-1])
	if err != nil {
		w.undo = w.undo[:len(w.undo)-1]
		e.Err = err
		return false
	}
	if ended && completed.Aborted {
		w.aborted = append(w.aborted, abortedEntry(completed))
	}
	return true
}

// BeginVerification says under which guard the coordinator of a transaction is to be asked before a batch is appended;
// producer.NoGuard: the transaction is open here, nobody needs to be asked.
func (l *Log) BeginVerification(id int64, epoch int16, sequence int32, bumps bool) (producer.Guard, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writableLocked(); err != nil {
		return producer.NoGuard, err
	}
	if l.producers == nil {
		l.producers = &producer.Table{}
	}
	l.lastGuard++
	return l.producers.BeginVerification(id, epoch, sequence, bumps, l.lastGuard, l.now().UnixMilli())
}

func abortedEntry(c producer.CompletedTxn) segment.AbortedTxn {
	return segment.AbortedTxn{
		ProducerID: c.ProducerID, FirstOffset: c.FirstOffset, LastOffset: c.LastOffset, LastStableOffset: c.LastStableOffset,
	}
}

func fillInfo(in *producer.Info, b record.Batch) error {
	attributes := b.Attributes()
	*in = producer.Info{
		ProducerID: b.ProducerID(), BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), MaxTimestampMillis: b.MaxTimestamp(),
		BaseSequence: b.BaseSequence(), LastSequence: b.LastSequence(), Epoch: b.ProducerEpoch(),
		Transactional: attributes.IsTransactional(), Control: attributes.IsControl(),
	}
	if !in.Control || b.Count() == 0 {
		return nil
	}
	marker, ok, err := record.ParseEndTxnMarker(b)
	if err != nil {
		return err
	}
	in.HasMarker, in.Abort, in.CoordinatorEpoch = ok, marker.Type == record.AbortMarker, marker.CoordinatorEpoch
	return nil
}

func (l *Log) stage(w *appendScratch, b record.Batch, epoch int32) {
	if planted.Enabled && l.plantedForget(w, b) {
		return
	}
	if len(w.placed) == 0 {
		w.firstMax = b.MaxTimestamp()
	}
	w.bufs = append(w.bufs, b)
	w.placed = append(w.placed, segment.Placed{LastOffset: b.LastOffset(), MaxTimestampMillis: b.MaxTimestamp(), SizeBytes: len(b)})
	w.sizeBytes += len(b)
	w.next = b.NextOffset()
	if epoch > l.lastEpoch && (len(w.epochs) == 0 || epoch > w.epochs[len(w.epochs)-1].epoch) {
		w.epochs = append(w.epochs, epochEntry{epoch, b.BaseOffset()})
	}
}

// writeStaged writes and publishes what is staged. After an error the log and its producers are as before.
func (l *Log) writeStaged(w *appendScratch, cfg *Config) error {
	if len(w.bufs) == 0 {
		return nil
	}
	active := l.active()
	if err := active.Write(w.bufs, w.sizeBytes); err != nil {
		for i := len(w.undo) - 1; i >= 0; i-- {
			l.producers.Undo(&w.undo[i])
		}
		return l.refused(active, err)
	}
	if w.lend {
		l.lent.set(active, active.SizeBytes(), w.bufs)
	}
	active.Commit(w.placed, cfg.IndexIntervalBytes)
	for _, txn := range w.aborted {
		active.AddAborted(txn)
	}
	for _, e := range w.epochs {
		l.lastEpoch = e.epoch
		l.epochs.assign(e.epoch, e.startOffset)
	}
	if l.producers != nil && len(w.undo) > 0 {
		l.firstUnstable.Store(l.producers.FirstUnstableOffset())
	}
	l.bytesSinceSnapshot += int64(w.sizeBytes)
	l.logEnd.Store(w.next)
	active.Allocate(l.dir.cfg.AllocationStepSizeBytes, cfg.SegmentBytes)
	w.reset()
	return nil
}

// refused turns the error of a write into what the caller is told. A full disk refuses the append and nothing else, as
// long as the partial bytes can be taken away: they must not be found by a recovery.
func (l *Log) refused(active *segment.Segment, err error) error {
	if !isNoSpace(err) {
		return l.dir.fail(fmt.Errorf("append to %s: %w", l.tp, err))
	}
	if active != nil {
		if err := active.Cut(); err != nil {
			return l.dir.fail(fmt.Errorf("cut refused append from %s: %w", l.tp, err))
		}
	}
	return l.dir.noSpace()
}
