package log

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/vfs"
)

const (
	metaFile          = "meta.properties"
	lockFile          = ".lock"
	cleanStopFile     = ".kafka_cleanshutdown"
	cleanStopContents = `{"version":0,"brokerEpoch":-1}`
	partitionFile     = "partition.metadata"
	metaVersion       = 1
)

// metaProperties says whose log directory this is.
type metaProperties struct {
	clusterID   string
	nodeID      int32
	directoryID [16]byte
}

func encodeMeta(m metaProperties) []byte {
	return fmt.Appendf(nil, "#\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=%d\n",
		m.clusterID, TopicID(m.directoryID), m.nodeID, metaVersion)
}

func decodeMeta(p []byte) (m metaProperties, err error) {
	values := properties(string(p), "=")
	version, err := strconv.Atoi(values["version"])
	switch {
	case err != nil || version < 0:
		return m, fmt.Errorf("version %q is not a number", values["version"])
	case version > metaVersion:
		return m, fmt.Errorf("the directory is of a newer format: version %d, this program knows up to %d", version, metaVersion)
	}
	m.clusterID = values["cluster.id"]
	id := values["node.id"]
	if id == "" {
		id = values["broker.id"]
	}
	nodeID, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return m, fmt.Errorf("node.id %q is not a number", id)
	}
	m.nodeID = int32(nodeID)
	if text := values["directory.id"]; text != "" {
		directoryID, err := ParseTopicID(text)
		if err != nil {
			return m, fmt.Errorf("directory.id %q is not an id", text)
		}
		m.directoryID = directoryID
	}
	return m, nil
}

func properties(text, separator string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value, _ := strings.Cut(line, separator)
		values[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return values
}

// openMeta reads meta.properties and holds it against the configuration, or writes it in a new directory.
func openMeta(cfg *DirConfig) (directoryID [16]byte, err error) {
	name := cfg.Path + "/" + metaFile
	p, err := segment.ReadFile(cfg.FS, name)
	if errors.Is(err, fs.ErrNotExist) {
		return createMeta(cfg, name)
	}
	if err != nil {
		return directoryID, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := decodeMeta(p)
	switch {
	case err != nil:
		return directoryID, fmt.Errorf("log directory %s: %s: %w", cfg.Path, metaFile, err)
	case m.clusterID != cfg.ClusterID:
		return directoryID, fmt.Errorf("log directory %s belongs to cluster %s, not to %s", cfg.Path, m.clusterID, cfg.ClusterID)
	case m.nodeID != cfg.NodeID:
		return directoryID, fmt.Errorf("log directory %s belongs to node %d, not to %d", cfg.Path, m.nodeID, cfg.NodeID)
	case m.directoryID == [16]byte{}:
		return createMeta(cfg, name) // from before directories had ids
	}
	return m.directoryID, nil
}

func createMeta(cfg *DirConfig, name string) ([16]byte, error) {
	id := cfg.DirectoryID
	if id == [16]byte{} {
		id = newID()
	}
	p := encodeMeta(metaProperties{cfg.ClusterID, cfg.NodeID, id})
	if err := vfs.WriteFileAtomic(cfg.FS, name, p, 0o644); err != nil {
		return id, fmt.Errorf("log directory %s is not writable: %w", cfg.Path, err)
	}
	return id, nil
}

// newID is a random id that does not begin with a dash, as Kafka's are, since ids stand on command lines.
func newID() (id [16]byte) {
	for {
		rand.Read(id[:])
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if base64.RawURLEncoding.EncodeToString(id[:])[0] != '-' {
			return id
		}
	}
}

func encodePartitionMetadata(id TopicID) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s\n", id)
}

func decodePartitionMetadata(p []byte) (TopicID, error) {
	values := properties(string(p), ":")
	if values["version"] != "0" {
		return TopicID{}, fmt.Errorf("unknown version %q", values["version"])
	}
	return ParseTopicID(values["topic_id"])
}

// parsePartitionDir reads a directory name, topic-partition; ok is false for other directories.
func parsePartitionDir(name string) (topic string, partition int32, ok bool) {
	dash := strings.LastIndexByte(name, '-')
	if dash <= 0 || strings.HasSuffix(name, deleteDirSuffix) {
		return "", 0, false
	}
	digits := name[dash+1:]
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 || digits != strconv.FormatInt(n, 10) {
		return "", 0, false
	}
	return name[:dash], int32(n), true
}

// deleteDirSuffix marks a partition's directory that is to be removed.
const deleteDirSuffix = "-delete"
