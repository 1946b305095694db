package log

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/vfs"
)

// Names of the checkpoint files in a log directory.
const (
	recoveryPointFile = "recovery-point-offset-checkpoint"
	logStartFile      = "log-start-offset-checkpoint"
	highWatermarkFile = "replication-offset-checkpoint"
)

// ErrCorruptCheckpoint is wrapped by every error of the checkpoint decoders.
var ErrCorruptCheckpoint = errors.New("corrupt checkpoint file")

// checkpointLines takes Kafka's checkpoint format apart: a line with the version, 0; a line with the number of entries;
// one line per entry.
func checkpointLines(p []byte) ([]string, error) {
	text := strings.TrimSuffix(string(p), "\n")
	lines := strings.Split(text, "\n")
	if len(lines) < 2 {
		return nil, fmt.Errorf("%w: %d lines", ErrCorruptCheckpoint, len(lines))
	}
	if lines[0] != "0" {
		return nil, fmt.Errorf("%w: unknown version %q", ErrCorruptCheckpoint, lines[0])
	}
	if n, err := strconv.Atoi(lines[1]); err != nil || n != len(lines)-2 {
		return nil, fmt.Errorf("%w: %q entries announced, %d found", ErrCorruptCheckpoint, lines[1], len(lines)-2)
	}
	return lines[2:], nil
}

func appendCheckpointHeader(p []byte, entries int) []byte {
	p = append(p, "0\n"...)
	p = strconv.AppendInt(p, int64(entries), 10)
	return append(p, '\n')
}

// decodeOffsets reads "topic partition offset" lines, by directory name.
func decodeOffsetCheckpoint(p []byte) (map[string]int64, error) {
	lines, err := checkpointLines(p)
	if err != nil {
		return nil, err
	}
	offsets := make(map[string]int64, len(lines))
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("%w: line %q", ErrCorruptCheckpoint, line)
		}
		partition, err := strconv.ParseInt(fields[1], 10, 32)
		if err != nil || partition < 0 {
			return nil, fmt.Errorf("%w: line %q", ErrCorruptCheckpoint, line)
		}
		offset, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: line %q", ErrCorruptCheckpoint, line)
		}
		offsets[TopicPartition{Topic: fields[0], Partition: int32(partition)}.String()] = offset
	}
	return offsets, nil
}

func encodeOffsetCheckpoint(offsets map[string]int64) []byte {
	p := appendCheckpointHeader(make([]byte, 0, 16+32*len(offsets)), len(offsets))
	for _, name := range slices.Sorted(maps.Keys(offsets)) {
		dash := strings.LastIndexByte(name, '-')
		p = append(p, name[:dash]...)
		p = append(p, ' ')
		p = append(p, name[dash+1:]...)
		p = append(p, ' ')
		p = strconv.AppendInt(p, offsets[name], 10)
		p = append(p, '\n')
	}
	return p
}

// offsetFile is one of the directory's checkpoint files. Guarded by checkpointMu of Dir.
type offsetFile struct {
	name    string
	offsets map[string]int64 // what the file says
	written []byte           // the file
}

func readOffsetFile(fsys vfs.FS, path string) (offsetFile, error) {
	f := offsetFile{name: path, offsets: map[string]int64{}}
	p, err := segment.ReadFile(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("read %s: %w", path, err)
	}
	if f.offsets, err = decodeOffsetCheckpoint(p); err != nil {
		return f, fmt.Errorf("read %s: %w", path, err)
	}
	f.written = p
	return f, nil
}

// write replaces the file when it would change.
func (f *offsetFile) write(fsys vfs.FS, offsets map[string]int64) error {
	p := encodeOffsetCheckpoint(offsets)
	if bytes.Equal(p, f.written) || (len(offsets) == 0 && f.written == nil) {
		return nil
	}
	if err := vfs.WriteFileAtomic(fsys, f.name, p, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", f.name, err)
	}
	f.offsets, f.written = offsets, p
	return nil
}
