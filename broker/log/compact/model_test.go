package compact

import (
	"fmt"
	"slices"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
)

// written is a record as it was appended.
type written struct {
	offset     int64
	key, value string
	keyless    bool
	tombstone  bool
	producer   int64 // 0: none
	txn        *txn  // nil: not of a transaction
	timestamp  int64
}

type txn struct {
	producer int64
	first    int64
	marker   int64 // offset; -1: open
	aborted  bool
}

// sent is a batch of a producer, for retries and for what is known of it after a truncation.
type sent struct {
	base, last int64
	producer   int64
	epoch      int16
	sequence   int32
	bytes      record.Batch // as it was sent
	control    bool
}

// model is what any history of appends means, whatever was cleaned in between.
type model struct {
	records []written
	txns    []*txn
	batches []sent
	start   int64
	hw      int64
}

func (m *model) open(producer int64) *txn {
	for _, t := range m.txns {
		if t.producer == producer && t.marker < 0 {
			return t
		}
	}
	return nil
}

// stable is the last stable offset.
func (m *model) stable() int64 {
	lso := m.hw
	for _, t := range m.txns {
		if t.marker < 0 || t.marker >= m.hw {
			lso = min(lso, t.first)
		}
	}
	return lso
}

// table is the plain map: what a reader of committed records below end knows who read them all.
func (m *model) table(end int64) map[string]string {
	table := map[string]string{}
	for i := range m.records {
		w := &m.records[i]
		if w.offset < m.start || w.offset >= end || w.keyless || w.txn != nil && (w.txn.aborted || w.txn.marker < 0) {
			continue
		}
		if w.tombstone {
			delete(table, w.key)
			continue
		}
		table[w.key] = w.value
	}
	return table
}

func (m *model) at(offset int64) *written {
	i, found := slices.BinarySearchFunc(m.records, offset, func(w written, offset int64) int { return int(w.offset - offset) })
	if !found {
		return nil
	}
	return &m.records[i]
}

// truncate forgets everything from end on.
func (m *model) truncate(end int64) {
	m.records = slices.DeleteFunc(m.records, func(w written) bool { return w.offset >= end })
	m.batches = slices.DeleteFunc(m.batches, func(b sent) bool { return b.base >= end })
	m.txns = slices.DeleteFunc(m.txns, func(t *txn) bool { return t.first >= end })
	for _, t := range m.txns {
		if t.marker >= end {
			t.marker, t.aborted = -1, false
		}
	}
}

// next is the epoch and the sequence that a producer has to go on with.
func (m *model) next(producer int64) (epoch int16, sequence int32) {
	for i := len(m.batches) - 1; i >= 0; i-- {
		b := &m.batches[i]
		switch {
		case b.producer != producer:
		case b.control:
			// A marker of a later epoch (transactions, version 2) begins sequences anew; one of the same does not count.
			if prior, ok := m.lastData(producer, i); ok && prior.epoch == b.epoch {
				return b.epoch, prior.sequence + int32(prior.last-prior.base) + 1
			}
			return b.epoch, 0
		default:
			return b.epoch, b.sequence + int32(b.last-b.base) + 1
		}
	}
	return 0, 0
}

func (m *model) lastData(producer int64, before int) (sent, bool) {
	for i := before - 1; i >= 0; i-- {
		if b := m.batches[i]; b.producer == producer && !b.control {
			return b, true
		}
	}
	return sent{}, false
}

// reader follows the log as a read_committed consumer does and keeps what it has read by key.
type reader struct {
	position int64
	table    map[string]seen
}

type seen struct {
	value  string
	offset int64
	at     int64 // millis: when it was read
}

// fetch reads on once. It fails where it is told of a record that nobody committed.
func (r *reader) fetch(b *bench, m *model) (more bool, err error) {
	upTo := b.log.LastStableOffset()
	if r.position < b.log.LogStartOffset() {
		*r = reader{position: b.log.LogStartOffset(), table: map[string]seen{}}
	}
	if r.position >= upTo {
		return false, nil
	}
	batches, err := b.read(r.position, upTo, 700)
	if err != nil || len(batches) == 0 {
		r.position = upTo // compaction may leave nothing up to the end
		return false, err
	}
	end := batches[len(batches)-1].NextOffset()
	aborted := b.log.AbortedTransactions(r.position, end)
	slices.SortFunc(aborted, func(a, b log.AbortedTransaction) int { return int(a.FirstOffset - b.FirstOffset) })
	skip := map[int64]bool{}
	for _, batch := range batches {
		for len(aborted) > 0 && aborted[0].FirstOffset <= batch.LastOffset() {
			skip[aborted[0].ProducerID] = true
			aborted = aborted[1:]
		}
		if batch.Attributes().IsControl() {
			if marker, ok, err := record.ParseEndTxnMarker(batch); err != nil {
				return false, err
			} else if ok && marker.Type == record.AbortMarker {
				delete(skip, batch.ProducerID())
			}
			continue
		}
		if batch.Attributes().IsTransactional() && skip[batch.ProducerID()] {
			continue
		}
		if err := r.take(b, m, batch); err != nil {
			return false, err
		}
	}
	r.position = end
	return true, nil
}

func (r *reader) take(b *bench, m *model, batch record.Batch) error {
	for one, err := range batch.Records(nil) {
		if err != nil {
			return err
		}
		offset := batch.BaseOffset() + int64(one.OffsetDelta)
		w := m.at(offset)
		if w == nil || w.txn != nil && (w.txn.aborted || w.txn.marker < 0) {
			return fmt.Errorf("offset %d is read although nobody committed it: %+v, %+v, reader at %d", offset, w, w.txn, r.position)
		}
		switch {
		case offset < r.position || w.keyless:
		case w.tombstone:
			delete(r.table, w.key)
		default:
			r.table[w.key] = seen{w.value, offset, b.clock.time().UnixMilli()}
		}
	}
	return nil
}

// check holds a reader that has read everything against the plain map: it may hold a value that was deleted only when it
// read it longer ago than delete.retention.ms.
func (r *reader) check(m *model, nowMillis, retentionMillis, end int64) error {
	want := m.table(end)
	for key, value := range want {
		if got, ok := r.table[key]; !ok || got.value != value {
			return fmt.Errorf("a reader at %d has %q = %+v (%v), want %q", r.position, key, got, ok, value)
		}
	}
	for key, got := range r.table {
		if _, ok := want[key]; !ok && nowMillis < got.at+retentionMillis && got.offset >= m.start {
			return fmt.Errorf("a reader at %d never heard that %q is gone, which it read %d ms ago", r.position, key, nowMillis-got.at)
		}
	}
	return nil
}
