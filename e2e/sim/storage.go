package sim

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing/synctest"

	"github.com/millrace-io/millrace/broker/log"
	wire "github.com/millrace-io/millrace/broker/record"
)

// ending is how a process ends.
type ending int

const (
	killed    ending = iota
	powerLost        // what was not synced may be lost
	stopped          // cleanly
)

// batchName is where and in which leader epoch a batch was appended: no two of a partition have that in common.
type batchName struct {
	partition int
	epoch     int32
	offset    int64
}

// openLogs opens the node's log directory, and has the shadows of the logs say what recovery found there.
func (n *node) openLogs(clock log.DirConfig) {
	clock.Path, clock.FS, clock.ClusterID, clock.NodeID, clock.DirectoryID = "/data", n.disk, "simulated", n.id, n.directory
	clock.Logger = slog.New(slog.DiscardHandler)
	dir, err := log.OpenDir(clock)
	if err != nil {
		n.w.violate("node %d cannot open its disk: %v", n.id, err)
		return
	}
	n.services.dir = dir
	for i, l := range n.logs {
		tp := log.TopicPartition{TopicID: log.TopicID(n.w.meta.topic), Topic: topicName, Partition: int32(i)}
		if l.real, err = dir.Open(tp, n.w.txns.logConfig, log.Hooks{}); err != nil {
			n.w.violate("node %d cannot open partition %d: %v", n.id, i, err)
			return
		}
		n.recovered(i, l)
	}
}

// recovered holds what recovery found against what was flushed.
func (n *node) recovered(partition int, l *plog) {
	var found []record
	for _, b := range l.batches(n.w, 0, l.real.LogEndOffset()) {
		records := n.w.txns.batches[batchName{partition, b.PartitionLeaderEpoch(), b.BaseOffset()}]
		if len(records) != int(b.LastOffsetDelta())+1 {
			n.w.violate("node %d recovers a batch of partition %d that nobody wrote, at offset %d of epoch %d", n.id, partition, b.BaseOffset(), b.PartitionLeaderEpoch())
			return
		}
		found = append(found, records...)
	}
	for i := range l.flushed {
		if i >= len(found) || found[i] != l.records[i] {
			n.w.violate("node %d recovers partition %d up to %d and not offset %d of %d that were flushed", n.id, partition, len(found), i, l.flushed)
			return
		}
	}
	l.records, l.compared = found, min(l.compared, l.flushed)
}

// closeLogs ends the use of the disk, and leaves it as the end of the process does.
func (n *node) closeLogs(dir *log.Dir, how ending) {
	before := n.disk
	switch how {
	case killed:
		n.disk = before.KillClone()
	case powerLost:
		n.disk = before.CrashClone(rand.New(rand.NewPCG(n.w.rng.Uint64(), 0))) // how much chance it takes is the disk's business
	}

	for _, l := range n.logs {
		l.real = nil
	}
	if dir == nil {
		return
	}
	if err := dir.Close(); err != nil {
		n.w.violate("node %d cannot close its disk: %v", n.id, err)
	}
}

// batches reads a log from an offset on.
func (l *plog) batches(w *World, from, to int64) (all []wire.Batch) {
	for from < to {
		data, err := readLog(l.real, from, to)
		if err != nil || len(data) == 0 {
			w.violate("a log cannot be read at offset %d of %d: %v", from, to, err)
			return all
		}
		for len(data) > 0 {
			b, rest, err := wire.Split(data)
			if err != nil {
				break // the read ended inside a batch
			}
			all, data, from = append(all, b), rest, b.NextOffset()
		}
	}
	return all
}

func readLog(l *log.Log, from, to int64) ([]byte, error) {
	slice, err := l.Read(from, to, 1<<20, true)
	if err != nil {
		return nil, err
	}
	defer slice.Release()
	if slice.File == nil {
		return append([]byte(nil), slice.Bytes...), nil
	}
	data := make([]byte, slice.SizeBytes)
	_, err = slice.File.ReadAt(data, slice.Position)
	return data, err
}

// write appends a batch as the leader does, and notes it in the shadow.
func (l *leadership) write(e *log.Entry, origin log.Origin) error {
	if !l.core.EnoughInSync() {
		return errNotEnough
	}
	entries := []log.Entry{*e}
	if _, err := l.log.real.Append(entries, l.core.Epoch(), origin); err != nil {
		return err
	}
	*e = entries[0]
	if e.Err != nil || e.Duplicate {
		return e.Err
	}
	l.n.w.txns.shadow(l, e)
	l.flush()
	l.serve()
	return nil
}

// shadow notes what was appended to a log.
func (t *transactions) shadow(l *leadership, e *log.Entry) {
	if e.BaseOffset != l.log.end() {
		t.w.violate("node %d appended to partition %d at offset %d, its log ended at %d", l.n.id, l.partition, e.BaseOffset, l.log.end())
		return
	}
	batch := slices.Clone(e.Batch)
	records := make([]record, int(e.LastOffset-e.BaseOffset)+1)
	for i := range records {
		t.values++
		records[i] = record{value: t.values, epoch: l.core.Epoch()}
	}
	records[0].batch = &batch
	t.batches[batchName{l.partition, l.core.Epoch(), e.BaseOffset}] = records
	l.log.append(records...)
}

// appendFetched appends to the log itself what a follower noted in its shadow.
func (l *plog) appendFetched(w *World, records []record) {
	if l.real == nil {
		return
	}
	var batches []wire.Batch
	for _, r := range records {
		if r.batch != nil {
			batches = append(batches, *r.batch)
		}
	}
	if err := l.real.AppendAsFollower(batches); err != nil {
		w.violate("a follower cannot append: %v", err)
	}
	l.agrees(w)
}

// truncateReal cuts the log itself as its shadow was cut.
func (l *plog) truncateReal(w *World) {
	if l.real == nil {
		return
	}
	if err := l.real.TruncateTo(l.end()); err != nil {
		w.violate("a follower cannot cut its log: %v", err)
	}
	l.agrees(w)
}

func (l *plog) agrees(w *World) {
	if l.real.LogEndOffset() != l.end() {
		w.violate("a log ends at %d instead of %d", l.real.LogEndOffset(), l.end())
	}
}

// sync is the end of a flush.
func (l *plog) sync(w *World) {
	if l.real == nil {
		return
	}
	if err := l.real.Flush(); err != nil {
		w.violate("a log cannot be flushed: %v", err)
	}
	synctest.Wait() // the directory may go on to write a checkpoint
}

// boundary is the end of the batch that an offset lies in.
func (l *plog) boundary(offset int64) int64 {
	for l.real != nil && offset < l.end() && l.records[offset].batch == nil {
		offset++
	}
	return offset
}
