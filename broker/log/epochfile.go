package log

import (
	"errors"
	"io/fs"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/vfs"
)

// loadEpochs is for who asks for epochs only: a start asks every log.
func (l *Log) loadEpochs() error {
	if l.epochsLoaded.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epochsLoaded.Load() {
		return nil
	}
	lost, err := l.readEpochs()
	if err == nil && lost {
		err = l.warmUpLocked()
	}
	return err
}

// readEpochs reads the checkpoint; lost says that there is none that can be used.
func (l *Log) readEpochs() (lost bool, err error) {
	p, err := segment.ReadFile(l.dir.fs, l.path+"/"+epochFile)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	entries, err := decodeEpochs(p)
	if err != nil {
		l.dir.logger.Warn("leader epochs are read from the log", "partition", l.tp.String(), "error", err)
		return true, nil
	}
	l.epochs.set(entries)
	l.epochsLoaded.Store(true)
	return false, nil
}

// settleEpochs fits the epochs to the log; those that were lost are read from the batch headers.
func (l *Log) settleEpochs(lost bool) error {
	if lost {
		l.epochs.clear()
		for _, s := range *l.segments.Load() {
			err := s.Headers(0, s.SizeBytes(), func(h segment.Header) bool {
				l.epochs.assign(h.Batch.PartitionLeaderEpoch(), h.Batch.BaseOffset())
				return true
			})
			if err != nil {
				return err
			}
		}
	}
	l.epochs.truncateFromEnd(l.logEnd.Load())
	l.epochs.truncateFromStart(l.logStart.Load())
	if epoch, ok := l.epochs.latest(); ok {
		l.lastEpoch = epoch
	}
	l.epochsLoaded.Store(true)
	return nil
}

func (l *Log) writeEpochs(p []byte) error {
	return vfs.WriteFileAtomic(l.dir.fs, l.path+"/"+epochFile, p, 0o644)
}
