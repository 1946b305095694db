package sim

import (
	"github.com/millrace-io/millrace/broker/log"
	wire "github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica/isr"
)

// record is one record of a log: its value, and the leader epoch that wrote it. Its offset is its place.
type record struct {
	value int
	epoch int32
	batch *wire.Batch // with transactions: of the first record of a batch
}

// plog is one partition's log on one disk.
type plog struct {
	records    []record
	flushed    int      // so many records outlive a power loss
	watermark  int      // the checkpoint of the high watermark
	compared   int      // so many records are known to equal what is committed
	flushToken int      // of the flush under way
	real       *log.Log // with transactions: what is on the disk; records say what that has to be
}

func (l *plog) end() int64 { return int64(len(l.records)) }

func (l *plog) append(records ...record) { l.records = append(l.records, records...) }

func (l *plog) truncate(end int64) {
	l.records = l.records[:end:end] // what was cut may still be on its way to somebody
	l.flushed, l.watermark, l.compared = min(l.flushed, int(end)), min(l.watermark, int(end)), min(l.compared, int(end))
}

// lastEpoch is that of the last record, -1 of an empty log.
func (l *plog) lastEpoch() int32 {
	if len(l.records) == 0 {
		return -1
	}
	return l.records[len(l.records)-1].epoch
}

// endOf answers as replica.Partition and log.Log do: where the records of the largest epoch not above the one asked for end; a
// log without such records has none of the epoch asked for, which so ends where the log begins.
func (l *plog) endOf(epoch int32) isr.EpochEnd {
	for i := len(l.records) - 1; i >= 0; i-- {
		if e := l.records[i].epoch; e <= epoch {
			return isr.EpochEnd{Epoch: e, EndOffset: int64(i + 1)}
		}
	}
	return isr.EpochEnd{Epoch: epoch, EndOffset: 0}
}

// losePower keeps what was flushed, and some of what was not.
func (l *plog) losePower(w *World) {
	kept := l.flushed
	if tail := len(l.records) - l.flushed; tail > 0 {
		kept += w.rng.IntN(tail + 1)
	}
	l.truncate(int64(kept))
	l.flushed = kept
}
