//go:build e2e

package hostile

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash/crc32"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bombBytes is what a bomb may weigh: a batch must be within max.message.bytes.
const bombBytes = 1_000_000

// gzipBomb unpacks to about 1 GiB: members of zeros, one behind the other.
func gzipBomb(t *testing.T) []byte {
	t.Helper()
	var member bytes.Buffer
	w := gzip.NewWriter(&member)
	_, _ = w.Write(make([]byte, 1<<20))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(member.Bytes(), bombBytes/member.Len())
}

// zstdBomb unpacks to about 30 GiB: one frame of blocks that each repeat a byte 128 Ki times.
func zstdBomb() []byte {
	p := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58} // magic, no content size, window of 2 MiB
	const rle, blockBytes = 1, 128 << 10
	for len(p) < bombBytes-4 {
		block := uint32(rle<<1 | blockBytes<<3)
		p = append(p, byte(block), byte(block>>8), byte(block>>16), 0)
	}
	block := uint32(1 | rle<<1 | blockBytes<<3)
	return append(p, byte(block), byte(block>>8), byte(block>>16), 0)
}

// lz4Bomb unpacks to about 250 MB: blocks of matches that copy one zero 4 MiB times.
func lz4Bomb() []byte {
	// One literal, then a match at distance 1 whose length is a run of 255s; five literals end a block.
	block := []byte{0x1f, 0, 1, 0}
	block = append(block, bytes.Repeat([]byte{255}, (4<<20-64)/255)...)
	block = append(block, 0, 0x50, 0, 0, 0, 0, 0)
	p := []byte{0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73} // magic, version 1 with independent blocks, 4 MiB blocks, checksum
	for len(p)+len(block)+8 < bombBytes {
		p = binary.LittleEndian.AppendUint32(p, uint32(len(block)))
		p = append(p, block...)
	}
	return append(p, 0, 0, 0, 0)
}

// snappyBomb claims 4 GiB, and holds copies of 64 bytes for all that fits.
func snappyBomb(claim uint64) []byte {
	p := binary.AppendUvarint(nil, claim)
	p = append(p, 0x00, 0) // one literal
	for len(p) < bombBytes {
		p = append(p, 0xfe, 1, 0) // copy 64 bytes from distance 1
	}
	return p
}

// batchOf puts compressed bytes into a batch that says it holds one record.
func batchOf(codec int16, compressed []byte) []byte {
	b := kmsg.RecordBatch{
		Magic: 2, Attributes: codec, FirstTimestamp: time.Now().UnixMilli(), MaxTimestamp: time.Now().UnixMilli(),
		PartitionLeaderEpoch: -1, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: 1, Records: compressed,
	}
	p := b.AppendTo(nil)
	binary.BigEndian.PutUint32(p[8:], uint32(len(p)-12))
	binary.BigEndian.PutUint32(p[17:], crc32.Checksum(p[21:], crc32.MakeTable(crc32.Castagnoli)))
	return p
}

// Batches that unpack to gigabytes, sent to topics whose settings make the broker unpack them, by 16 producers at once. Each is
// refused, soon, and memory stays within what one of them may unpack to, 128 MiB, and what the growth of its buffer and the
// collector's slack make of that; with all of them at once it was 3 GiB.
func TestDecompressionBombs(t *testing.T) {
	for _, tc := range []struct {
		name       string
		codec      int16
		compressed []byte
	}{
		{"gzip", 1, gzipBomb(t)},
		{"snappy", 2, snappyBomb(1<<32 - 1)},
		{"snappy that claims what it holds", 2, snappyBomb(1 + (bombBytes-7)/3*64)},
		{"lz4", 3, lz4Bomb()},
		{"zstd", 4, zstdBomb()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := startNode(t, 1024, nil)
			target := "lz4"
			if tc.codec == 3 {
				target = "uncompressed" // a batch of the right codec is not unpacked
			}
			for topic, configs := range map[string]map[string]*string{
				"compacted": {"cleanup.policy": kadm.StringPtr("compact")},
				"recoded":   {"compression.type": kadm.StringPtr(target)},
				"validated": {"validate.records": kadm.StringPtr("true")},
			} {
				createTopic(t, n, topic, configs)
				n.throwBombs(topic, batchOf(tc.codec, tc.compressed))
			}
			n.awaitNeighbour(10)
		})
	}
}

// throwBombs sends the batch from 16 connections at once.
func (n *node) throwBombs(topic string, batch []byte) {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 9, -1, 5000
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: batch}}}}
	bomb := request(r, 1)
	began := time.Now()
	var all sync.WaitGroup
	for range 16 {
		p := n.dial()
		all.Go(func() {
			defer p.Close()
			answer := p.ask(bomb, 60*time.Second)
			response := kmsg.NewPtrProduceResponse()
			response.Version = 9
			if len(answer) < 5 || response.ReadFrom(answer[5:]) != nil || len(response.Topics) != 1 || len(response.Topics[0].Partitions) != 1 {
				n.t.Errorf("no answer to a bomb: %d bytes", len(answer))
				return
			}
			if response.Topics[0].Partitions[0].ErrorCode == 0 {
				n.t.Errorf("topic %s took a batch that is no batch once unpacked", topic)
			}
		})
	}
	all.Wait()
	n.t.Logf("%s: 16 bombs took %v, memory at most %d MiB", topic, time.Since(began).Round(time.Millisecond), n.peak.Load()>>20)
}

func createTopic(t *testing.T, n *node, topic string, configs map[string]*string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(n.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	created, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, configs, topic)
	if err == nil {
		err = created.Err
	}
	if err != nil {
		t.Fatalf("create topic %s: %v", topic, err)
	}
}
