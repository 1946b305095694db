package log

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// written is one record that the model knows of: data of a producer, or an end marker.
type written struct {
	offset     int64
	producerID int64 // -1: of no transaction
	marker     bool
	abort      bool
}

// history is a log beside what was written to it.
type history struct {
	t   *rapid.T
	tb  testing.TB
	fs  *vfs.Memory
	dir *Dir
	log *Log
	all []written
	// loaded is where the log ended when its producers were last read from disk.
	loaded int64
}

func (h *history) append(w written) {
	h.t.Helper()
	entry := Entry{Guard: producer.Unverified}
	value := fmt.Sprint(len(h.all))
	switch {
	case w.marker:
		kind := record.CommitMarker
		if w.abort {
			kind = record.AbortMarker
		}
		entry.Batch = record.EndTxnBatch(w.producerID, 0, 1000, record.EndTxnMarker{Type: kind})
	case w.producerID >= 0:
		entry.Batch = batch(h.tb, record.BuilderOptions{HasProducer: true, ProducerID: w.producerID, BaseSequence: 0, Transactional: true}, 1000, value)
	default:
		entry.Batch = batch(h.tb, record.BuilderOptions{}, 1000, value)
	}
	entries := []Entry{entry}
	if _, err := h.log.Append(entries, 0, OriginCoordinator); err != nil || entries[0].Err != nil {
		h.t.Fatal(err, entries[0].Err)
	}
	w.offset = entries[0].BaseOffset
	h.all = append(h.all, w)
}

// reopen is a crash of the process: what was flushed is there.
func (h *history) reopen(seed uint64) {
	h.t.Helper()
	if err := h.log.Flush(); err != nil {
		h.t.Fatal(err)
	}
	clone := h.fs.CrashClone(testRand(seed))
	if err := h.dir.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open(clone)
}

func (h *history) open(fs *vfs.Memory) {
	h.t.Helper()
	var err error
	h.fs = fs
	if h.dir, err = OpenDir(testDirConfig(fs)); err != nil {
		h.t.Fatal(err)
	}
	if h.log, err = h.dir.Open(testTopic, smallConfig(), Hooks{}); err != nil {
		h.t.Fatal(err)
	}
	h.loaded = h.log.LogEndOffset()
}

func (h *history) truncate(offset int64) {
	h.t.Helper()
	if err := h.log.TruncateTo(offset); err != nil {
		h.t.Fatal(err)
	}
	h.all = slices.DeleteFunc(h.all, func(w written) bool { return w.offset >= h.log.LogEndOffset() })
	h.loaded = h.log.LogEndOffset()
}

// stable is where a reader stops who wants committed records only. Of a transaction whose marker was there when producers
// were read from disk nobody knows whether the marker is above the high watermark, as in Kafka: its end is decided all the
// same, for the coordinator had written it down before. So the offset lies between two.
func (h *history) stable(highWatermark int64) (least, most int64) {
	least, most = highWatermark, highWatermark
	for _, txn := range h.transactions() {
		if txn.last < 0 || txn.last >= highWatermark {
			least = min(least, txn.first)
		}
		if txn.last < 0 || txn.last >= max(highWatermark, h.loaded) {
			most = min(most, txn.first)
		}
	}
	return least, most
}

// transaction of the model; last is where its marker is, -1 while it is open.
type transaction struct {
	producerID, first, last int64
	aborted                 bool
}

func (h *history) transactions() (all []transaction) {
	open := map[int64]int{}
	for _, w := range h.all {
		i, isOpen := open[w.producerID]
		switch {
		case w.producerID < 0:
		case !w.marker && !isOpen:
			open[w.producerID] = len(all)
			all = append(all, transaction{producerID: w.producerID, first: w.offset, last: -1})
		case w.marker && isOpen:
			delete(open, w.producerID)
			all[i].last, all[i].aborted = w.offset, w.abort
		}
	}
	return all
}

// visible are the offsets in a range that a reader of committed records must see.
func (h *history) visible(from, upTo int64) (offsets []int64) {
	all := h.transactions()
	for _, w := range h.all {
		hidden := w.marker || slices.ContainsFunc(all, func(t transaction) bool {
			return t.aborted && t.producerID == w.producerID && w.offset >= t.first && w.offset <= t.last
		})
		if !hidden && w.offset >= from && w.offset < upTo {
			offsets = append(offsets, w.offset)
		}
	}
	return offsets
}

// read returns the offsets that a client with isolation.level=read_committed sees from an offset on, by reads of so many bytes.
func (h *history) read(from, upTo int64, maxBytes int) (seen []int64) {
	h.t.Helper()
	for from < upTo {
		s, err := h.log.Read(from, upTo, maxBytes, true)
		if err != nil {
			h.t.Fatal(err)
		}
		aborted := h.log.AbortedTransactions(from, s.Bound())
		slices.SortFunc(aborted, func(a, b AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
		hidden := map[int64]bool{}
		data := s.Bytes
		if s.File != nil {
			data = make([]byte, s.SizeBytes)
			if _, err := s.File.ReadAt(data, s.Position); err != nil && err != io.EOF {
				h.t.Fatal(err)
			}
		}
		for len(data) > 0 {
			b, rest, err := record.Split(data)
			if err != nil {
				h.t.Fatal(err)
			}
			for len(aborted) > 0 && aborted[0].FirstOffset <= b.LastOffset() {
				hidden[aborted[0].ProducerID] = true
				aborted = aborted[1:]
			}
			if b.Attributes().IsControl() {
				if marker, _, err := record.ParseEndTxnMarker(b); err == nil && marker.Type == record.AbortMarker {
					delete(hidden, b.ProducerID())
				}
			} else if !hidden[b.ProducerID()] || !b.Attributes().IsTransactional() {
				seen = append(seen, b.BaseOffset())
			}
			from, data = b.NextOffset(), rest
		}
		s.Release()
	}
	return seen
}

// TestCommittedReadersSeeWhatIsCommitted writes, ends, cuts and recovers transactions of several producers in tiny segments,
// and reads from everywhere: what is seen is what the model says, and the last stable offset is where it says.
func TestCommittedReadersSeeWhatIsCommitted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := &history{t: rt, tb: t}
		h.open(vfs.NewMemory())
		defer func() { _ = h.dir.Close() }()
		highWatermark := int64(0)
		for step := range rapid.IntRange(1, 60).Draw(rt, "steps") {
			id := rapid.Int64Range(1, 3).Draw(rt, "producer")
			switch rapid.IntRange(0, 11).Draw(rt, "kind") {
			case 0, 1, 2, 3:
				h.append(written{producerID: id})
			case 4, 5:
				h.append(written{producerID: -1})
			case 6, 7, 8:
				h.append(written{producerID: id, marker: true, abort: rapid.Bool().Draw(rt, "abort")})
			case 9:
				h.truncate(rapid.Int64Range(highWatermark, h.log.LogEndOffset()).Draw(rt, "cut"))
			case 10:
				h.reopen(uint64(step))
				highWatermark = 0 // until the replica says so again
			case 11:
				highWatermark = rapid.Int64Range(highWatermark, h.log.LogEndOffset()).Draw(rt, "high watermark")
			}
			h.log.SetHighWatermark(highWatermark)
			stable := h.log.LastStableOffset()
			if least, most := h.stable(highWatermark); stable < least || stable > most {
				rt.Fatalf("step %d: the last stable offset is %d, want %d to %d; high watermark %d, %+v", step, stable, least, most, highWatermark, h.all)
			}
			from := rapid.Int64Range(0, stable).Draw(rt, "from")
			maxBytes := rapid.SampledFrom([]int{1, 200, 1 << 20}).Draw(rt, "max bytes")
			if seen, want := h.read(from, stable, maxBytes), h.visible(from, stable); !slices.Equal(seen, want) {
				rt.Fatalf("step %d: from %d: saw %v, want %v; %+v", step, from, seen, want, h.all)
			}
		}
	})
}
