package compact

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// source draws a number from 0 to n-1.
type source func(label string, n int) int

func fromRapid(t *rapid.T) source {
	return func(label string, n int) int { return rapid.IntRange(0, n-1).Draw(t, label) }
}

func fromSeed(seed uint64) source {
	rng := rand.New(rand.NewPCG(seed, 15))
	return func(_ string, n int) int { return rng.IntN(n) }
}

// history drives a log and its model through the same events.
type history struct {
	*bench
	model
	draw     source
	memory   *vfs.Memory
	watching sync.Mutex // guards watch and what it does: the flusher writes, too
	watch    func(op vfs.Op)
	crashes  *rand.Rand
	readers  []*reader
	tamper   func(f *filter)
	lastSent map[int64]sent // of idempotent producers, since the last truncation
	// cut are producers whose last batch a truncation took away: the one before may have been cleaned because of it, so
	// what is known of them is in snapshots only. Kafka's followers have that, too.
	cut   map[int64]bool
	steps int
}

const retentionMillis = 1000

func (h *history) settings() *log.Config {
	cfg := settings()
	cfg.DeleteRetentionMillis = retentionMillis
	return cfg
}

func newHistory(t testing.TB, draw source, tamper func(f *filter)) (*history, error) {
	h := &history{draw: draw, memory: vfs.NewMemory(), crashes: rand.New(rand.NewPCG(3, 4)), tamper: tamper, lastSent: map[int64]sent{}, cut: map[int64]bool{}}
	err := h.reopen(t, &clock{now: time.UnixMilli(1_000_000)})
	for range 3 {
		h.readers = append(h.readers, &reader{table: map[string]seen{}})
	}
	return h, err
}

func (h *history) reopen(t testing.TB, c *clock) (err error) {
	fs := vfs.NewFaulty(h.memory, func(op vfs.Op) error {
		h.watching.Lock()
		defer h.watching.Unlock()
		if h.watch != nil && op.Kind.Writes() {
			h.watch(op)
		}
		return nil
	})
	if h.bench, err = open(t, fs, c, h.settings()); err != nil {
		return err
	}
	h.cleaner.tamper = h.tamper
	// Which decided transactions the high watermark has not passed is not on disk: the log learns it as it goes on.
	return h.replicate()
}

// run makes some events happen and says what the log did that the model does not allow.
func (h *history) run(steps int) error {
	for ; steps > 0; steps-- {
		h.steps++
		events := []struct {
			name  string
			share int
			do    func() error
		}{
			{"append", 10, h.append}, {"retry", 1, h.retry}, {"transaction", 6, h.transaction}, {"end", 7, h.end}, {"roll", 2, h.bench.log.Roll},
			{"replicate", 4, h.replicate}, {"checkpoint", 2, h.dir.Checkpoint}, {"clean", 7, h.clean}, {"crash", 1, h.cleanAndCrash},
			{"time", 3, h.time}, {"restart", 1, h.restart}, {"lose", 1, h.loseSnapshots}, {"truncate", 1, h.truncate}, {"delete", 1, h.delete}, {"read", 4, h.read},
		}
		pick := h.draw("event", 51)
		for _, e := range events {
			if pick -= e.share; pick < 0 {
				if err := errors.Join(e.do(), h.check()); err != nil {
					return fmt.Errorf("step %d, %s: %w", h.steps, e.name, err)
				}
				break
			}
		}
	}
	return h.finish()
}

// finish lets every reader come to the end, and a new one, and restarts once more.
func (h *history) finish() error {
	h.readers = append(h.readers, &reader{table: map[string]seen{}})
	for _, r := range h.readers {
		if err := h.catchUp(r); err != nil {
			return err
		}
	}
	return h.restart()
}

func (h *history) builder(producer int64, epoch int16, sequence int32, transactional bool) *record.Builder {
	opts := record.BuilderOptions{Codec: record.Codec(h.draw("codec", 5)), TimestampType: record.TimestampType(h.draw("type", 8) / 7)}
	if producer > 0 {
		opts.HasProducer, opts.ProducerID, opts.ProducerEpoch, opts.BaseSequence, opts.Transactional = true, producer, epoch, sequence, transactional
	}
	return record.NewBuilder(opts)
}

// send appends a batch of a few records and notes them.
func (h *history) send(id int64, t *txn) error {
	epoch, sequence := h.next(id)
	builder := h.builder(id, epoch, sequence, t != nil)
	base, now := h.bench.log.LogEndOffset(), h.clock.time().UnixMilli()
	var records []written
	for i := range 1 + h.draw("records", 4) {
		w := written{offset: base + int64(i), key: fmt.Sprintf("key-%d", h.draw("key", 7)), producer: id, txn: t, timestamp: now - int64(h.draw("age", 50))}
		w.value = fmt.Sprintf("value of %d", w.offset)
		w.tombstone = h.draw("tombstone", 4) == 0
		w.keyless = h.draw("keyless", 40) == 0
		key, value := []byte(w.key), []byte(w.value)
		if w.keyless {
			key = nil
		}
		if w.tombstone {
			value = nil
		}
		builder.Append(w.timestamp, key, value, []record.Header{{Key: "offset", Value: fmt.Appendf(nil, "%d", w.offset)}})
		records = append(records, w)
	}
	batch, err := builder.Build()
	if err != nil {
		return err
	}
	origin := log.OriginClient
	if t != nil {
		origin = log.OriginCoordinator
	}
	s := sent{base: base, last: base + int64(len(records)) - 1, producer: id, epoch: epoch, sequence: sequence, bytes: append(record.Batch{}, batch...)}
	entries := []log.Entry{{Batch: batch, Guard: producer.Unverified}}
	if _, err := h.bench.log.Append(entries, 0, origin); err != nil || entries[0].Err != nil || entries[0].Duplicate {
		return fmt.Errorf("append of %d records by producer %d, epoch %d, sequence %d: %w %w, duplicate %v", len(records), id, epoch, sequence, err, entries[0].Err, entries[0].Duplicate)
	}
	h.records, h.batches = append(h.records, records...), append(h.batches, s)
	delete(h.cut, id)
	if id > 0 && t == nil {
		h.lastSent[id] = s
	}
	return nil
}

func (h *history) append() error { return h.send(int64(h.draw("producer", 4)), nil) }

// retry sends a producer's last batch once more, as it was.
func (h *history) retry() error {
	s, ok := h.lastSent[int64(1+h.draw("producer", 3))]
	if !ok {
		return nil
	}
	entries := []log.Entry{{Batch: append(record.Batch{}, s.bytes...)}}
	_, err := h.bench.log.Append(entries, 0, log.OriginClient)
	if err != nil || !entries[0].Duplicate || entries[0].BaseOffset != s.base {
		return fmt.Errorf("retry of the batch at %d: %w, %+v", s.base, err, entries[0])
	}
	return nil
}

func (h *history) transaction() error {
	id := int64(11 + h.draw("producer", 3))
	t := h.open(id)
	if t == nil {
		t = &txn{producer: id, first: h.bench.log.LogEndOffset(), marker: -1}
		h.txns = append(h.txns, t)
	}
	return h.send(id, t)
}

// end writes a marker, also of a transaction without records here.
func (h *history) end() error { return h.endOf(int64(11 + h.draw("producer", 3))) }

// endAll ends what holds the last stable offset, most of the time.
func (h *history) endAll() error {
	for id := int64(11); id < 14; id++ {
		if h.open(id) != nil && h.draw("stays open", 8) > 0 {
			if err := h.endOf(id); err != nil {
				return err
			}
		}
	}
	return nil
}

// endOf writes a marker of either version.
func (h *history) endOf(id int64) error {
	epoch, _ := h.next(id)
	version := int8(1 + h.draw("version", 2))
	if version == 2 {
		epoch++
	}
	base := h.bench.log.LogEndOffset()
	marker := record.EndTxnMarker{Type: record.MarkerType(h.draw("commit", 2)), CoordinatorEpoch: 3}
	entries := []log.Entry{{Batch: record.EndTxnBatch(id, epoch, h.clock.time().UnixMilli(), marker), TransactionVersion: version}}
	if _, err := h.bench.log.Append(entries, 0, log.OriginCoordinator); err != nil || entries[0].Err != nil {
		return fmt.Errorf("marker: %w %w", err, entries[0].Err)
	}
	if t := h.open(id); t != nil {
		t.marker, t.aborted = base, marker.Type == record.AbortMarker
	}
	h.batches = append(h.batches, sent{base: base, last: base, producer: id, epoch: epoch, control: true})
	return nil
}

func (h *history) replicate() error {
	h.hw = h.bench.log.LogEndOffset()
	h.bench.log.SetHighWatermark(h.hw)
	return nil
}

func (h *history) clean() error {
	keys := []int64{1 << 10, 1 << 10, 3}[h.draw("map", 3)]
	h.cleaner.Configure(Settings{KeyMapBytes: keys * keyBytes})
	if h.draw("settle", 2) == 0 {
		if err := errors.Join(h.endAll(), h.bench.log.Roll(), h.replicate(), h.dir.Checkpoint()); err != nil {
			return err
		}
	}
	result, err := h.cleaner.Clean(context.Background(), h.bench.log)
	if err != nil {
		return err
	}
	return h.isClean(result.CleanedTo)
}

// isClean says that below end no record is left that compaction should have removed.
func (h *history) isClean(end int64) error {
	batches, err := h.read1(end)
	if err != nil {
		return err
	}
	last := map[string]int64{}
	for _, b := range batches {
		if b.Attributes().IsControl() {
			continue
		}
		for r, err := range b.Records(nil) {
			if err != nil {
				return err
			}
			offset := b.BaseOffset() + int64(r.OffsetDelta)
			w := h.at(offset)
			if before, ok := last[string(r.Key)]; ok && offset < end {
				return fmt.Errorf("after a cleaning up to %d, %q is at %d and %d", end, r.Key, before, offset)
			}
			if offset < end && w != nil && (w.keyless || w.txn != nil && w.txn.aborted) {
				return fmt.Errorf("after a cleaning up to %d, %+v is left", end, *w)
			}
			last[string(r.Key)] = offset
		}
	}
	return nil
}

// read1 reads all batches that begin below end.
func (h *history) read1(end int64) (all []record.Batch, err error) {
	for at := h.bench.log.LogStartOffset(); at < end; {
		batches, err := h.bench.read(at, h.bench.log.LogEndOffset(), 1000)
		if err != nil || len(batches) == 0 {
			return all, err
		}
		for _, b := range batches {
			if b.BaseOffset() < end {
				all = append(all, b)
			}
			at = b.NextOffset()
		}
	}
	return all, nil
}

// cleanAndCrash goes on with what a crash at some point of a cleaning leaves.
func (h *history) cleanAndCrash() error {
	if err := errors.Join(h.bench.log.Roll(), h.dir.Checkpoint()); err != nil {
		return err
	}
	left := h.draw("operation", 40)
	var after *vfs.Memory
	h.setWatch(func(vfs.Op) {
		if left--; left == 0 {
			after = h.memory.CrashClone(h.crashes)
		}
	})
	_, err := h.cleaner.Clean(context.Background(), h.bench.log)
	h.setWatch(nil)
	if err != nil || after == nil {
		return err
	}
	return h.goOnWith(after)
}

func (h *history) setWatch(watch func(op vfs.Op)) {
	h.watching.Lock()
	defer h.watching.Unlock()
	h.watch = watch
}

// goOnWith opens what is in memory after a crash; everything had been flushed.
func (h *history) goOnWith(after *vfs.Memory) error {
	before, end := h.producers(), h.bench.log.LogEndOffset()
	if err := h.dir.Close(); err != nil {
		return err
	}
	h.memory = after
	if err := h.reopen(h.t, h.clock); err != nil {
		return err
	}
	return h.sameAs(before, end, h.start)
}

// producers is what the log knows of them, without the batches that are remembered beyond the last one.
func (h *history) producers() map[int64]string {
	all := map[int64]string{}
	for _, s := range h.bench.log.ActiveProducers() {
		all[s.ID] = fmt.Sprintf("epoch %d, sequence %d, last offset %d, transaction at %d", s.Epoch, s.LastSequence(), s.LastOffset(), s.TxnFirstOffset)
	}
	return all
}

// sameAs holds the log against what it was before it was opened anew; producers without a trace from offset from on may
// have been forgotten.
func (h *history) sameAs(before map[int64]string, end, from int64) error {
	if now := h.bench.log.LogEndOffset(); now != end {
		return fmt.Errorf("the log ends at %d, and at %d before", now, end)
	}
	after := h.producers()
	for id, state := range before {
		if after[id] != state && h.lastTrace(id) >= from && !h.cut[id] {
			return fmt.Errorf("producer %d: %s; before: %s", id, after[id], state)
		}
	}
	return nil
}

// lastTrace is where the log tells of a producer: in its last batch, or in a marker when it has sent none.
func (h *history) lastTrace(id int64) int64 {
	marker := int64(producer.None)
	for _, b := range slices.Backward(h.batches) {
		if b.producer == id && !b.control {
			return b.last
		}
		if b.producer == id {
			marker = max(marker, b.last)
		}
	}
	return marker
}

func (h *history) restart() error {
	before, end := h.producers(), h.bench.log.LogEndOffset()
	if err := h.dir.Close(); err != nil {
		return err
	}
	if err := h.reopen(h.t, h.clock); err != nil {
		return err
	}
	return h.sameAs(before, end, 0)
}

// loseSnapshots is a crash that leaves no snapshot of the producers: they are learnt from the batches that are left.
func (h *history) loseSnapshots() error {
	if err := h.dir.Checkpoint(); err != nil {
		return err
	}
	before, end := h.producers(), h.bench.log.LogEndOffset()
	after := h.memory.CrashClone(h.crashes)
	if err := h.dir.Close(); err != nil {
		return err
	}
	h.memory = after
	entries, err := after.ReadDir("/logs/" + topic.String())
	if err != nil && end > 0 {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".snapshot") {
			if err := after.Remove("/logs/" + topic.String() + "/" + e.Name()); err != nil {
				return err
			}
		}
	}
	if err := h.reopen(h.t, h.clock); err != nil {
		return err
	}
	clear(h.lastSent) // what is remembered beyond the last batch is lost, and the last one may be only a header
	return h.sameAs(before, end, h.start)
}

func (h *history) truncate() error {
	end := h.bench.log.LogEndOffset()
	to := h.hw + int64(h.draw("truncate", int(end-h.hw)+1))
	if err := h.bench.log.TruncateTo(to); err != nil {
		return err
	}
	now := h.bench.log.LogEndOffset()
	if now > to {
		return fmt.Errorf("truncated to %d, the log ends at %d", to, now)
	}
	for _, b := range h.batches {
		if b.base >= now {
			h.cut[b.producer] = true
		}
	}
	h.model.truncate(now)
	clear(h.lastSent)
	return h.replicate() // as in reopen
}

// delete is DeleteRecords, and retention that removes what lies below.
func (h *history) delete() error {
	room := h.stable() - h.start
	if room <= 0 {
		return nil
	}
	h.start += int64(h.draw("delete", int(room)+1)) / 3
	if err := h.bench.log.IncrementLogStartOffset(h.start); err != nil {
		return err
	}
	_, _, err := h.bench.log.ApplyRetention(h.hw)
	h.start = h.bench.log.LogStartOffset()
	return err
}

func (h *history) time() error {
	h.clock.advance(time.Duration([]int{100, 400, 1100}[h.draw("millis", 3)]) * time.Millisecond)
	return nil
}

// read lets a reader go on for a bit, and holds it against the model when it has come to the end.
func (h *history) read() error {
	r := h.readers[h.draw("reader", len(h.readers))]
	for range 1 + h.draw("fetches", 6) {
		if more, err := r.fetch(h.bench, &h.model); err != nil {
			return err
		} else if !more {
			return h.atEnd(r)
		}
	}
	return nil
}

func (h *history) catchUp(r *reader) error {
	for {
		if more, err := r.fetch(h.bench, &h.model); err != nil {
			return err
		} else if !more {
			return h.atEnd(r)
		}
	}
}

func (h *history) atEnd(r *reader) error {
	return r.check(&h.model, h.clock.time().UnixMilli(), retentionMillis, h.stable())
}

// check reads the whole log, and a part of it from anywhere.
func (h *history) check() error {
	if got, want := h.bench.log.LastStableOffset(), h.stable(); got != want {
		return fmt.Errorf("last stable offset is %d, want %d", got, want)
	}
	batches, err := h.read1(h.bench.log.LogEndOffset())
	if err != nil {
		return err
	}
	last := int64(-1)
	for _, b := range batches {
		if b.BaseOffset() <= last {
			return fmt.Errorf("a batch at %d follows offset %d", b.BaseOffset(), last)
		}
		last = b.LastOffset()
		if err := h.checkBatch(b); err != nil {
			return err
		}
	}
	return h.checkFrom(batches)
}

func (h *history) checkBatch(b record.Batch) error {
	if b.Attributes().IsControl() {
		return nil
	}
	last := b.BaseOffset() - 1
	for r, err := range b.Records(nil) {
		if err != nil {
			return err
		}
		offset := b.BaseOffset() + int64(r.OffsetDelta)
		w := h.at(offset)
		if offset <= last || offset > b.LastOffset() || w == nil {
			return fmt.Errorf("offset %d follows %d in a batch up to %d; appended was %+v", offset, last, b.LastOffset(), w)
		}
		last = offset
		header := fmt.Sprint(offset)
		if w.keyless != (r.Key == nil) || w.tombstone != (r.Value == nil) || !w.keyless && string(r.Key) != w.key || !w.tombstone && string(r.Value) != w.value ||
			len(r.Headers) != 1 || string(r.Headers[0].Value) != header || b.Attributes().TimestampType() == record.CreateTime && r.TimestampMillis != w.timestamp {
			return fmt.Errorf("offset %d is %+v, appended was %+v", offset, r, *w)
		}
		if b.Attributes().TimestampType() == record.CreateTime && r.TimestampMillis > b.MaxTimestamp() {
			return fmt.Errorf("offset %d is of %d, the batch's latest is %d", offset, r.TimestampMillis, b.MaxTimestamp())
		}
	}
	return nil
}

// checkFrom reads from one offset through the indexes and expects the batches that a reader from the start saw.
func (h *history) checkFrom(all []record.Batch) error {
	start, end := h.bench.log.LogStartOffset(), h.bench.log.LogEndOffset()
	if end == start {
		return nil
	}
	from := start + int64(h.draw("from", int(end-start)))
	got, err := h.bench.read(from, end, 1)
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.LastOffset() >= from {
			if len(got) == 0 || got[0].BaseOffset() != b.BaseOffset() {
				return fmt.Errorf("a read from %d begins with %v, want the batch at %d", from, got, b.BaseOffset())
			}
			return nil
		}
	}
	if len(got) > 0 {
		return fmt.Errorf("a read from %d finds a batch at %d behind the last one", from, got[0].BaseOffset())
	}
	return nil
}

// read returns whole batches in memory of their own.
func (b *bench) read(from, upTo int64, maxBytes int) (batches []record.Batch, err error) {
	s, err := b.log.Read(from, upTo, maxBytes, true)
	if err != nil {
		return nil, err
	}
	defer s.Release()
	for p := append([]byte{}, s.Bytes...); len(p) > 0; {
		batch, rest, err := record.Split(p)
		if err == nil {
			err = batch.VerifyCRC()
		}
		if err != nil {
			return nil, fmt.Errorf("read from %d: %w", from, err)
		}
		batches, p = append(batches, batch), rest
	}
	return batches, nil
}

func (h *history) close() { h.dir.Close() }

func checkHistory(t testing.TB, draw source, steps int, tamper func(f *filter)) error {
	h, err := newHistory(t, draw, tamper)
	if err != nil {
		return err
	}
	defer func() { h.close() }()
	return h.run(steps)
}

func TestAnyHistoryOfWritesAndCleaningsMeansWhatAMapMeans(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		if err := checkHistory(t, fromRapid(rt), rapid.IntRange(1, 120).Draw(rt, "steps"), nil); err != nil {
			rt.Fatal(err)
		}
	})
}

func FuzzHistory(f *testing.F) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		p := make([]byte, 2000)
		for i := range p {
			p[i] = byte(rng.Uint32())
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		draw := func(_ string, n int) int {
			if len(p) == 0 {
				return 0
			}
			v := int(p[0]) % n
			p = p[1:]
			return v
		}
		if err := checkHistory(t, draw, min(len(p)/6, 150), nil); err != nil {
			t.Fatal(err)
		}
	})
}
