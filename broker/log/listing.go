package log

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// listing is what lies in a partition's directory.
type listing struct {
	bases     []int64 // of the .log files, rising
	snapshots []int64 // rising
	swaps     []int64 // base offsets of .log.swap files
}

// list reads the directory and removes what interrupted work left: deleted files, unfinished output of the cleaner,
// indexes without data.
func (l *Log) list() (found listing, err error) {
	entries, err := l.dir.fs.ReadDir(l.path)
	if err != nil {
		return found, err
	}
	var indexes, orphans []string // orphans: indexes of output whose data file has its name already
	cleaned := false
	for _, e := range entries {
		name := e.Name()
		base, suffix, ok := segment.ParseFileName(name)
		switch {
		case strings.HasSuffix(name, segment.DeletedSuffix):
			err = l.removeFile(name)
		case strings.HasSuffix(name, segment.CleanedSuffix):
			cleaned = true
		case strings.HasSuffix(name, ".tmp"):
			err = l.removeFile(name)
		case strings.HasSuffix(name, segment.SwapSuffix):
			if ok && suffix == segment.LogSuffix+segment.SwapSuffix {
				found.swaps = append(found.swaps, base)
			} else {
				orphans = append(orphans, name)
			}
		case !ok:
		case suffix == segment.LogSuffix:
			found.bases = append(found.bases, base)
		case suffix == segment.SnapshotSuffix:
			found.snapshots = append(found.snapshots, base)
		case suffix == segment.IndexSuffix || suffix == segment.TimeIndexSuffix || suffix == segment.TxnIndexSuffix:
			indexes = append(indexes, name)
		}
		if err != nil {
			return found, err
		}
	}
	if cleaned || len(found.swaps) > 0 {
		if err := l.finishSwap(entries, found); err != nil {
			return found, err
		}
		return l.list()
	}
	for _, name := range orphans {
		if err := l.removeFile(name); err != nil {
			return found, err
		}
	}
	slices.Sort(found.bases)
	slices.Sort(found.snapshots)
	for _, name := range indexes {
		base, _, _ := segment.ParseFileName(name)
		if _, ok := slices.BinarySearch(found.bases, base); !ok {
			if err := l.removeFile(name); err != nil {
				return found, err
			}
		}
	}
	return found, nil
}

func (l *Log) removeFile(name string) error {
	if err := l.dir.fs.Remove(l.path + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
