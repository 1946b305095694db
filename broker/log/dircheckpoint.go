package log

import (
	"errors"
	"fmt"
	"maps"
)

// Checkpoint flushes what is unflushed and writes the three checkpoint files. For each log the order is: data, then what
// recovery cannot find again (sidecars), then the recovery point. On a full disk the files stay as they are.
func (d *Dir) Checkpoint() error {
	if err := d.flushAll(); err != nil {
		return err
	}
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return d.checkpointLocked()
}

func (d *Dir) flushAll() error {
	logs := d.openLogs()
	for _, l := range logs {
		if l.flushed.Load() < l.logEnd.Load() {
			l.RequestFlush()
		}
	}
	for _, l := range logs {
		if l.Err() == nil {
			if err := l.Flush(); err != nil && l.failure.Load() == nil {
				return err
			}
		}
	}
	return d.Err()
}

func (d *Dir) checkpointLocked() error {
	if err := d.Err(); err != nil {
		return err
	}
	recoveryPoints, logStarts, highWatermarks := map[string]int64{}, map[string]int64{}, map[string]int64{}
	d.mu.Lock()
	for name := range d.found {
		d.carryOver(name, recoveryPoints, logStarts, highWatermarks)
	}
	logs := make([]*Log, 0, len(d.logs))
	for name, l := range d.logs {
		if !l.ready.Load() || l.failure.Load() != nil {
			d.carryOver(name, recoveryPoints, logStarts, highWatermarks)
			continue
		}
		logs = append(logs, l)
	}
	d.mu.Unlock()
	// Log start offsets go first: the sidecars forget what lies below them.
	for _, l := range logs {
		l.startInto(logStarts, highWatermarks)
	}
	err := d.logStarts.write(d.fs, logStarts)
	if err == nil {
		for _, l := range logs {
			l.recoveryPointInto(recoveryPoints)
		}
		err = errors.Join(d.recoveryPoints.write(d.fs, recoveryPoints), d.highWatermarks.write(d.fs, highWatermarks))
	}
	if err == nil {
		err = d.settleIncarnation()
	}
	if err != nil && !isNoSpace(err) {
		return d.fail(err)
	}
	return err
}

// carryOver keeps what the files say of a partition whose log is not open.
func (d *Dir) carryOver(name string, recoveryPoints, logStarts, highWatermarks map[string]int64) {
	carry(name, recoveryPoints, d.recoveryPoints.offsets)
	carry(name, logStarts, d.logStarts.offsets)
	carry(name, highWatermarks, d.highWatermarks.offsets)
}

func carry(name string, to, from map[string]int64) {
	if offset, ok := from[name]; ok {
		to[name] = offset
	}
}

func (l *Log) startInto(logStarts, highWatermarks map[string]int64) {
	name := l.tp.String()
	if highWatermark := l.highWatermark.Load(); highWatermark > 0 {
		highWatermarks[name] = highWatermark
	}
	if start := l.logStart.Load(); start > 0 && l.onDisk.Load() {
		logStarts[name] = start
	}
}

// recoveryPointInto adds the log's recovery point, once its sidecars are on disk. When they cannot be written it stays
// where it is.
func (l *Log) recoveryPointInto(recoveryPoints map[string]int64) {
	if !l.onDisk.Load() {
		return
	}
	name := l.tp.String()
	flushed := l.flushed.Load()
	if l.warm.Load() {
		if err := l.sidecars(); err != nil {
			old, known := l.dir.recoveryPoints.offsets[name]
			if !isNoSpace(err) {
				l.dir.fail(fmt.Errorf("checkpoint %s: %w", name, err))
			}
			if !known {
				return
			}
			flushed = min(flushed, old)
		}
	}
	recoveryPoints[name] = flushed
}

// lowerRecoveryPoint makes sure, before a log is cut, that the recovery point on disk is not beyond offset: a recovery
// would take the shorter log for a corrupt one. The caller holds checkpointMu.
func (d *Dir) lowerRecoveryPoint(name string, offset int64) error {
	if d.recoveryPoints.offsets[name] <= offset {
		return nil
	}
	recoveryPoints := maps.Clone(d.recoveryPoints.offsets)
	recoveryPoints[name] = offset
	if err := d.recoveryPoints.write(d.fs, recoveryPoints); err != nil {
		if isNoSpace(err) {
			return ErrNoSpace
		}
		return d.fail(err)
	}
	return nil
}

// forgetOldCheckpoints runs before a partition's directory is made: the files may still speak of a topic of the same
// name that is gone.
func (d *Dir) forgetOldCheckpoints(name string) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	return d.forgetLocked(name)
}

// forgetLocked is forgetOldCheckpoints for who holds checkpointMu.
func (d *Dir) forgetLocked(name string) error {
	files := [...]*offsetFile{&d.recoveryPoints, &d.logStarts, &d.highWatermarks, &d.cleaned}
	for _, f := range files {
		if _, known := f.offsets[name]; !known {
			continue
		}
		offsets := maps.Clone(f.offsets)
		d.mu.Lock()
		for old := range offsets {
			if _, onDisk := d.found[old]; !onDisk && d.logs[old] == nil || old == name {
				delete(offsets, old)
			}
		}
		d.mu.Unlock()
		if err := f.write(d.fs, offsets); err != nil {
			return err
		}
	}
	return nil
}
