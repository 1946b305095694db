//go:build e2e

package chaos

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace-io/millrace/e2e/harness"
)

// storedBatch is one batch as it lies in a replica's files.
type storedBatch struct {
	baseOffset int64
	bytes      []byte
}

// batchHeaderSize is the size of the fields before the length counts, and lengthAt where the length is.
const (
	batchHeaderSize = 12
	lengthAt        = 8
)

// storedBatches reads all batches of one replica, oldest first. What a batch is follows from its own length field.
func storedBatches(partitionDir string) (all []storedBatch, err error) {
	names, err := filepath.Glob(filepath.Join(partitionDir, "*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		p, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for len(p) > 0 {
			if len(p) < batchHeaderSize {
				return nil, fmt.Errorf("%s ends within a batch's header", name)
			}
			size := batchHeaderSize + int(binary.BigEndian.Uint32(p[lengthAt:]))
			if size > len(p) {
				return nil, fmt.Errorf("%s ends within a batch at offset %d", name, binary.BigEndian.Uint64(p))
			}
			all = append(all, storedBatch{int64(binary.BigEndian.Uint64(p)), p[:size]})
			p = p[size:]
		}
	}
	return all, nil
}

// mustBeEqual compares the replicas of a topic on stopped nodes, byte by byte below the ends, and the chains of their leader
// epochs.
func mustBeEqual(t *testing.T, nodes []*harness.Node, topic string, ends map[int32]int64, replicas int) {
	t.Helper()
	compared := 0
	for partition, end := range ends {
		var first []storedBatch
		var firstNode *harness.Node
		found := 0
		for _, n := range nodes {
			dir := filepath.Join(n.DataDir(), "logs", fmt.Sprintf("%s-%d", topic, partition))
			if _, err := os.Stat(dir); err != nil {
				continue
			}
			batches, err := storedBatches(dir)
			if err != nil {
				t.Errorf("node %d: %v", n.ID(), err)
				continue
			}
			batches = below(batches, end)
			if found++; found == 1 {
				first, firstNode = batches, n
				continue
			}
			compared += len(batches)
			sameBatches(t, partition, firstNode, n, first, batches)
			sameEpochs(t, topic, partition, firstNode, n, end)
		}
		if end > 0 && found != replicas {
			t.Errorf("partition %d lies on %d nodes, want %d", partition, found, replicas)
		}
	}
	t.Logf("%d batches are equal on all replicas", compared)
}

func below(batches []storedBatch, end int64) []storedBatch {
	at := slices.IndexFunc(batches, func(b storedBatch) bool { return b.baseOffset >= end })
	if at < 0 {
		return batches
	}
	return batches[:at]
}

func sameBatches(t *testing.T, partition int32, a, b *harness.Node, as, bs []storedBatch) {
	t.Helper()
	for i := range max(len(as), len(bs)) {
		switch {
		case i >= len(as) || i >= len(bs):
			t.Errorf("partition %d: node %d holds %d batches and node %d %d", partition, a.ID(), len(as), b.ID(), len(bs))
			return
		case as[i].baseOffset != bs[i].baseOffset || !bytes.Equal(as[i].bytes, bs[i].bytes):
			t.Errorf("partition %d: node %d has offset %d (%d bytes, epoch %d) where node %d has offset %d (%d bytes, epoch %d)", partition,
				a.ID(), as[i].baseOffset, len(as[i].bytes), as[i].epoch(), b.ID(), bs[i].baseOffset, len(bs[i].bytes), bs[i].epoch())
			return
		}
	}
}

func (b storedBatch) epoch() int32 { return int32(binary.BigEndian.Uint32(b.bytes[batchHeaderSize:])) }

// sameEpochs compares the leader epochs that begin below the end.
func sameEpochs(t *testing.T, topic string, partition int32, a, b *harness.Node, end int64) {
	t.Helper()
	chain := func(n *harness.Node) (lines []string) {
		text, err := os.ReadFile(filepath.Join(n.DataDir(), "logs", fmt.Sprintf("%s-%d", topic, partition), "leader-epoch-checkpoint"))
		if err != nil {
			return nil
		}
		for _, line := range strings.Split(string(text), "\n") {
			var epoch, start int64
			if n, _ := fmt.Sscanf(line, "%d %d", &epoch, &start); n == 2 && start < end {
				lines = append(lines, line)
			}
		}
		return lines
	}
	if as, bs := chain(a), chain(b); !slices.Equal(as, bs) {
		t.Errorf("partition %d: leader epochs of node %d are %v, of node %d %v", partition, a.ID(), as, b.ID(), bs)
	}
}
