package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/vfs"
)

// Dir is one log directory: the logs in it, their shared files and indexes, its flusher and its keeper.
type Dir struct {
	cfg       DirConfig // fixed after OpenDir, as are the fields up to the next blank line
	fs        vfs.FS
	path      string
	id        [16]byte
	lock      io.Closer
	volume    vfs.Volume // open as long as the Dir is: see vfs.Volume
	cleanStop bool
	keptPages bool // nothing that was ever written here was lost since: a sound batch proves what lay before it
	logger    *slog.Logger
	files     *segment.Files
	indexes   *segment.Indexes
	flusher   *flusher
	keeper    *keeper
	metrics   *metrics
	scratch   sync.Pool // of *appendScratch
	refusal   error     // what is told who appends to a full disk

	room    room
	offline atomic.Pointer[OfflineError]
	failed  chan struct{} // closed by fail

	mu     sync.Mutex
	logs   map[string]*Log    // guarded by mu: open ones, by directory name
	found  map[string]TopicID // guarded by mu: partition directories on disk whose log is not open
	closed bool               // guarded by mu

	// checkpointMu is held while the checkpoint files are written, and by truncation, which must not let a recovery
	// point stand that lies beyond the end. It comes before mu of a Log.
	checkpointMu   sync.Mutex
	recoveryPoints offsetFile
	logStarts      offsetFile
	highWatermarks offsetFile
	cleaned        offsetFile

	incarnationSettled bool // guarded by checkpointMu: see settleIncarnation
}

// OpenDir takes the lock and reads what the last stop left. It starts the flusher and the keeper; Close joins them.
func OpenDir(cfg DirConfig) (*Dir, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	d := &Dir{
		cfg: cfg, fs: cfg.FS, path: cfg.Path, logger: cfg.Logger.With("log_dir", cfg.Path),
		files: segment.NewFiles(cfg.FS, cfg.MaxOpenFiles), indexes: segment.NewIndexes(cfg.IndexCacheBytes),
		refusal: fmt.Errorf("log directory %s: %w", cfg.Path, ErrNoSpace),
		failed:  make(chan struct{}), logs: map[string]*Log{}, found: map[string]TopicID{},
	}
	d.scratch.New = func() any { return new(appendScratch) }
	if err := makeDurableDir(d.fs, d.path); err != nil {
		return nil, fmt.Errorf("log directory %s is not writable: %w", d.path, err)
	}
	lock, err := d.fs.Lock(d.path + "/" + lockFile)
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("log directory %s is in use by another process: %w", d.path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("log directory %s is not writable: %w", d.path, err)
	}
	d.lock = lock
	if d.volume, err = d.fs.OpenVolume(d.path); err != nil {
		return nil, errors.Join(fmt.Errorf("open log directory %s: %w", d.path, err), lock.Close())
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, d.volume.Close(), lock.Close())
	}
	d.openRoom()
	d.metrics = newMetrics(d, cfg.Registerer)
	d.flusher = startFlusher(d)
	d.keeper = startKeeper(d)
	return d, nil
}

// makeDurableDir makes a directory and its missing parents, and their names durable.
func makeDurableDir(fsys vfs.FS, path string) error {
	if _, err := fsys.Stat(path); err == nil {
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := makeDurableDir(fsys, parent); err != nil {
			return err
		}
	}
	if err := fsys.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(path))
}

// load reads everything but the logs. The clean-stop mark goes before anything is written.
func (d *Dir) load() (err error) {
	if d.id, err = openMeta(&d.cfg); err != nil {
		return err
	}
	if d.recoveryPoints, err = d.readCheckpoint(recoveryPointFile); err != nil {
		return err
	}
	if d.logStarts, err = d.readCheckpoint(logStartFile); err != nil {
		return err
	}
	if d.highWatermarks, err = d.readCheckpoint(highWatermarkFile); err != nil {
		return err
	}
	if d.cleaned, err = d.readCheckpoint(cleanerFile); err != nil {
		return err
	}
	if err := d.scan(); err != nil {
		return fmt.Errorf("scan log directory %s: %w", d.path, err)
	}
	mark := d.path + "/" + cleanStopFile
	if _, err := d.fs.Stat(mark); err == nil {
		d.cleanStop = true
		if err := d.fs.Remove(mark); err != nil {
			return fmt.Errorf("log directory %s is not writable: %w", d.path, err)
		}
	}
	if err := d.loadIncarnation(); err != nil {
		return fmt.Errorf("log directory %s is not writable: %w", d.path, err)
	}
	return d.fs.SyncDir(d.path)
}

// readCheckpoint reads one of the checkpoint files. One that is nonsense counts as missing, as in Kafka: then everything is
// checked anew after an unclean stop, and records below a log start offset inside a segment are there again.
func (d *Dir) readCheckpoint(name string) (offsetFile, error) {
	f, err := readOffsetFile(d.fs, d.path+"/"+name)
	if errors.Is(err, ErrCorruptCheckpoint) {
		d.logger.Warn("checkpoint file is unreadable and made anew", "error", err)
		return offsetFile{name: f.name, offsets: map[string]int64{}}, nil
	}
	return f, err
}

// scan finds partitions, and removes what was being removed when the last process ended.
func (d *Dir) scan() error {
	entries, err := d.fs.ReadDir(d.path)
	if err != nil {
		return err
	}
	var names, doomed []string
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if strings.HasSuffix(e.Name(), deleteDirSuffix) {
			doomed = append(doomed, e.Name())
		} else if _, _, ok := parsePartitionDir(e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	for _, name := range doomed {
		if err := d.fs.RemoveAll(d.path + "/" + name); err != nil {
			return err
		}
	}
	return d.readTopicIDs(names)
}

func (d *Dir) readTopicIDs(names []string) error {
	workers := 2 * runtime.GOMAXPROCS(0)
	ids := make([]TopicID, len(names))
	var group errgroup.Group
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(names); i += workers {
				p, err := segment.ReadFile(d.fs, d.path+"/"+names[i]+"/"+partitionFile)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				// Without a readable file the directory was made just before a crash: Open adopts it.
				ids[i], _ = decodePartitionMetadata(p)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, name := range names {
		d.found[name] = ids[i]
	}
	return nil
}

// ID is directory.id.
func (d *Dir) ID() [16]byte { return d.id }

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// CleanStop says whether the last stop was clean.
func (d *Dir) CleanStop() bool { return d.cleanStop }

// Err is why the directory is offline; nil while it works.
func (d *Dir) Err() error {
	if err := d.offline.Load(); err != nil {
		return err
	}
	return nil
}

// Failed is closed when the directory goes offline.
func (d *Dir) Failed() <-chan struct{} { return d.failed }

// fail takes the directory offline for good, and returns what callers are told.
func (d *Dir) fail(cause error) error {
	offline := &OfflineError{Dir: d.path, Cause: cause}
	if !d.offline.CompareAndSwap(nil, offline) {
		return d.offline.Load()
	}
	d.logger.Error("log directory is offline", "error", cause)
	close(d.failed)
	_ = d.fs.Remove(d.path + "/" + incarnationFile) // pages may be lost that nobody asked for again
	return offline
}

// Logs returns the logs that are open.
func (d *Dir) Logs() []*Log { return d.openLogs() }

// Partitions lists the partitions that have a directory on disk and those that are open.
func (d *Dir) Partitions() []TopicPartition {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]TopicPartition, 0, len(d.found)+len(d.logs))
	for name, id := range d.found {
		topic, partition, _ := parsePartitionDir(name)
		all = append(all, TopicPartition{TopicID: id, Topic: topic, Partition: partition})
	}
	for _, l := range d.logs {
		all = append(all, l.tp)
	}
	return all
}

// HighWatermarkCheckpoint is what replication-offset-checkpoint says of a partition.
func (d *Dir) HighWatermarkCheckpoint(topic string, partition int32) (int64, bool) {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	offset, ok := d.highWatermarks.offsets[TopicPartition{Topic: topic, Partition: partition}.String()]
	return offset, ok
}

// Open opens the log of a partition and recovers it when the last stop was not clean. A partition that was never
// written to has no directory: it appears with the first append. A *CorruptError means that the partition is offline.
func (d *Dir) Open(tp TopicPartition, cfg *Config, hooks Hooks) (*Log, error) {
	if err := d.Err(); err != nil {
		return nil, err
	}
	name := tp.String()
	l := newLog(d, tp, cfg, hooks)
	d.mu.Lock()
	id, onDisk := d.found[name]
	switch {
	case d.closed:
		d.mu.Unlock()
		return nil, ErrClosed
	case d.logs[name] != nil:
		d.mu.Unlock()
		return nil, fmt.Errorf("open log %s: it is open", name)
	case onDisk && id != tp.TopicID && id != TopicID{}:
		d.mu.Unlock()
		return nil, fmt.Errorf("open log %s: topic id %s on disk, %s asked for: %w", name, id, tp.TopicID, ErrOtherTopicID)
	}
	d.logs[name] = l
	delete(d.found, name)
	d.mu.Unlock()
	if onDisk {
		if err := l.load(id == TopicID{}); err != nil {
			d.mu.Lock()
			delete(d.logs, name)
			d.found[name] = id
			d.mu.Unlock()
			d.logger.Error("log cannot be opened", "partition", name, "error", err)
			return nil, fmt.Errorf("open log %s: %w", name, err)
		}
	}
	if highWatermark, ok := d.HighWatermarkCheckpoint(tp.Topic, tp.Partition); ok && onDisk {
		l.highWatermark.Store(min(highWatermark, l.logEnd.Load()))
	}
	l.ready.Store(true)
	if l.logEnd.Load() > l.flushed.Load() {
		l.RequestFlush()
	}
	return l, nil
}

// Remove deletes a partition: its directory gets another name at once and is removed later.
func (d *Dir) Remove(tp TopicPartition) error {
	name := tp.String()
	d.mu.Lock()
	l := d.logs[name]
	_, onDisk := d.found[name]
	d.mu.Unlock()
	delay := int64(0)
	if l != nil {
		delay = l.Config().FileDeleteDelayMillis
		onDisk = l.close()
	}
	if onDisk {
		doomed := name + "." + fmt.Sprintf("%x", newID()) + deleteDirSuffix
		if err := d.fs.Rename(d.path+"/"+name, d.path+"/"+doomed); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return d.fail(fmt.Errorf("remove log %s: %w", name, err))
		}
		path := d.path + "/" + doomed
		d.keeper.later(time.Duration(delay)*time.Millisecond, func() error { return d.fs.RemoveAll(path) })
	}
	d.mu.Lock()
	delete(d.logs, name)
	delete(d.found, name)
	d.mu.Unlock()
	return nil
}

// openLogs returns the logs that are open and loaded.
func (d *Dir) openLogs() []*Log {
	d.mu.Lock()
	defer d.mu.Unlock()
	logs := make([]*Log, 0, len(d.logs))
	for _, l := range d.logs {
		if l.ready.Load() {
			logs = append(logs, l)
		}
	}
	return logs
}

// Close stops the goroutines, makes everything durable and marks a clean stop. The order: nothing in the background
// runs any more, data is flushed, what a start reads is written, and only then is the mark set.
func (d *Dir) Close() error {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil
	}
	d.closed = true
	d.mu.Unlock()
	d.keeper.stop()
	err := d.Err()
	if err == nil {
		err = d.closeClean()
	}
	d.flusher.stop()
	for _, l := range d.openLogs() {
		l.close()
	}
	d.files.CloseAll()
	d.metrics.unregister()
	return errors.Join(err, d.volume.Close(), d.lock.Close())
}

func (d *Dir) closeClean() error {
	clean := true
	for _, l := range d.openLogs() {
		if err := l.writeForStop(); err != nil {
			clean = false
			d.logger.Warn("log is not closed cleanly", "partition", l.tp.String(), "error", err)
		}
	}
	if err := d.Checkpoint(); err != nil {
		return err
	}
	d.keeper.runDoomed()
	if err := d.volume.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return d.fail(err)
	}
	if !clean {
		return nil
	}
	mark := d.path + "/" + cleanStopFile
	if err := vfs.WriteFileAtomic(d.fs, mark, []byte(cleanStopContents), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", mark, err)
	}
	return nil
}
