package log

import (
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// fewSyncs is up to how many files are synced one by one; beyond that one syncfs costs less (16 files: 0.7 against
// 3.8 ms measured; it also flushes what others wrote to the same file system).
const fewSyncs = 8

// flusher is the group commit of a directory: one goroutine. Idle, it flushes at once; what is asked for while it is
// flushing goes together into the next round.
type flusher struct {
	dir  *Dir
	wake chan struct{} // capacity 1
	quit chan struct{}
	done chan struct{}

	mu     sync.Mutex
	queue  []*Log     // guarded by mu: logs whose flushQueued is set
	rounds *sync.Cond // of mu: a round has ended, or the directory failed

	bytesSinceCheckpoint int64 // owned by the goroutine
}

func startFlusher(d *Dir) *flusher {
	f := &flusher{dir: d, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	f.rounds = sync.NewCond(&f.mu)
	go f.run()
	return f
}

// stop ends the goroutine after the round in hand.
func (f *flusher) stop() {
	close(f.quit)
	<-f.done
	f.broadcast()
}

func (f *flusher) request(l *Log) {
	if !l.flushQueued.CompareAndSwap(false, true) {
		return
	}
	f.mu.Lock()
	f.queue = append(f.queue, l)
	f.mu.Unlock()
	f.begin()
}

// begin lets the next round begin as soon as none is under way.
func (f *flusher) begin() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// await returns when reached does, or there is no more hope.
func (f *flusher) await(reached func() bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for !reached() {
		if err := f.dir.Err(); err != nil {
			return err
		}
		select {
		case <-f.done:
			return ErrClosed
		default:
		}
		f.rounds.Wait()
	}
	return nil
}

func (f *flusher) broadcast() {
	f.mu.Lock()
	f.rounds.Broadcast()
	f.mu.Unlock()
}

func (f *flusher) run() {
	defer close(f.done)
	var spare []*Log
	var round []flushTarget
	for {
		select {
		case <-f.wake:
		case <-f.quit:
			return
		}
		f.mu.Lock()
		batch := f.queue
		f.queue = spare[:0]
		f.mu.Unlock()
		round = f.flush(batch, round[:0])
		f.broadcast()
		clear(batch)
		spare = batch
		clear(round)
	}
}

// flushTarget is what one log has to make durable in this round.
type flushTarget struct {
	log        *Log
	end        int64
	truncation uint32 // number of truncations when end was read
	segments   []*segment.Segment
	names      uint32 // see Log.newNames
}

func (f *flusher) flush(batch []*Log, round []flushTarget) []flushTarget {
	if f.dir.Err() != nil {
		return round
	}
	syncs := 0
	for _, l := range batch {
		l.flushQueued.Store(false) // before the end is read: a later append asks again
		if t, ok := l.flushTarget(); ok {
			round = append(round, t)
			syncs += t.syncs()
		}
	}
	if len(round) == 0 {
		return round
	}
	start := time.Now()
	if err := f.sync(round, syncs); err != nil {
		f.dir.fail(err)
		return round
	}
	f.dir.metrics.flushed(time.Since(start), len(round))
	for i := range round {
		round[i].log.flushDone(&round[i])
	}
	if f.bytesSinceCheckpoint >= f.dir.cfg.CheckpointBytes {
		f.bytesSinceCheckpoint = 0
		f.dir.keeper.checkpointSoon()
	}
	return round
}

func (t *flushTarget) syncs() int {
	n := len(t.segments)
	if t.names&newFileName != 0 {
		n++
	}
	if t.names&newDirName != 0 {
		n += 2
	}
	return n
}

func (f *flusher) sync(round []flushTarget, syncs int) error {
	if syncs > fewSyncs {
		err := f.syncFileSystem(round)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	if len(round) == 1 {
		return f.syncOne(&round[0])
	}
	var group errgroup.Group
	group.SetLimit(fewSyncs)
	var bytes = make([]int64, len(round))
	for i := range round {
		group.Go(func() error {
			var err error
			bytes[i], err = round[i].sync(f.dir)
			return err
		})
	}
	err := group.Wait()
	for _, n := range bytes {
		f.bytesSinceCheckpoint += n
	}
	if err != nil {
		return err
	}
	return f.syncRoot(round)
}

func (f *flusher) syncOne(t *flushTarget) error {
	bytes, err := t.sync(f.dir)
	f.bytesSinceCheckpoint += bytes
	if err != nil || t.names&newDirName == 0 {
		return err
	}
	return f.dir.fs.SyncDir(f.dir.path)
}

func (f *flusher) syncRoot(round []flushTarget) error {
	if !slices.ContainsFunc(round, func(t flushTarget) bool { return t.names&newDirName != 0 }) {
		return nil
	}
	return f.dir.fs.SyncDir(f.dir.path)
}

func (f *flusher) syncFileSystem(round []flushTarget) error {
	for i := range round {
		for _, s := range round[i].segments {
			f.bytesSinceCheckpoint += s.BeginSync()
		}
	}
	return f.dir.volume.Sync()
}

// sync makes the log's data durable, then the names below its directory; the directory's own name comes last, once for
// all logs of the round.
func (t *flushTarget) sync(d *Dir) (bytes int64, err error) {
	for _, s := range t.segments {
		n, err := s.Sync()
		bytes += n
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it was deleted meanwhile: nothing to keep
			return bytes, err
		}
	}
	if t.names&newDirName != 0 {
		err = t.log.syncMetadataFile()
	}
	if t.names != 0 && err == nil {
		err = d.fs.SyncDir(t.log.path)
	}
	if errors.Is(err, fs.ErrNotExist) && t.log.Err() != nil {
		return bytes, nil // the partition was removed meanwhile
	}
	return bytes, err
}
