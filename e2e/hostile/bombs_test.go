//go:build e2e

package hostile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// everyAPI asks the broker what it speaks.
func everyAPI(t *testing.T, n *node) []kmsg.ApiVersionsResponseApiKey {
	t.Helper()
	ask := kmsg.NewPtrApiVersionsRequest()
	answer := n.dial().ask(request(ask, 7), 5*time.Second)
	if len(answer) < 4 {
		t.Fatal("no answer to ApiVersions")
	}
	response := kmsg.NewPtrApiVersionsResponse()
	if err := response.ReadFrom(answer[4:]); err != nil || len(response.ApiKeys) < 30 {
		t.Fatalf("the broker speaks %d APIs: %v", len(response.ApiKeys), err)
	}
	return response.ApiKeys
}

// Small bodies that claim billions of elements or tagged fields, for every API and version, at every depth that a prefix
// of zeros and ones reaches. Each is answered or ends the connection, at once.
func TestCountBombs(t *testing.T) {
	n := startNode(t, 128, nil)
	claims := [][]byte{
		{0x7f, 0xff, 0xff, 0xff},       // int32 array
		{0xff, 0xff, 0xff, 0xff, 0x0f}, // compact array, bytes, tagged fields
		{0xff, 0xff, 0xff, 0xff, 0x07},
		{0xe8, 0x59, 0x99, 0xa5, 0xff, 0xe6, 0x0e},
		{0x80, 0x00, 0x00, 0x00},
	}
	var slowest time.Duration
	bombs := 0
	for _, api := range everyAPI(t, n) {
		for version := api.MinVersion; version <= api.MaxVersion; version++ {
			r := kmsg.RequestForKey(api.ApiKey)
			if r == nil {
				continue
			}
			r.SetVersion(version)
			p := n.dial()
			for _, claim := range claims {
				for _, prefix := range [][]byte{nil, {0}, {1}, {2, 1}, {0, 0}, {0, 1, 'x'}, {2, 2, 'x'}, make([]byte, 4), {0, 0, 0, 1}, {0, 0, 0, 1, 0, 1, 'x'}, make([]byte, 8)} {
					body := append(bytes.Clone(prefix), bytes.Repeat(claim, 5)...)
					began := time.Now()
					// What follows is answered, too, or the connection ends: a Produce with acks=0 has no answer.
					both := append(frame(append(header(api.ApiKey, version, 1, r.IsFlexible()), body...)), frame(header(18, 0, 2, false))...)
					answer := p.ask(both, 5*time.Second)
					if len(answer) >= 4 && binary.BigEndian.Uint32(answer) == 1 {
						answer, _ = p.readFrame(5 * time.Second)
					}
					if answer == nil {
						p.Close()
						p = n.dial()
					}
					if took := time.Since(began); took > slowest {
						slowest = took
					}
					if bombs++; t.Failed() {
						t.Fatalf("%s version %d: body %x", kmsg.NameForKey(api.ApiKey), version, body)
					}
				}
			}
			p.Close()
		}
	}
	t.Logf("%d bombs, the slowest took %v", bombs, slowest)
	if bombs < 1000 {
		t.Errorf("only %d bombs were thrown", bombs)
	}
	n.awaitNeighbour(20)
}

// Frames that are full of the smallest elements an API has, sound in form, many at once: decoded they are hundreds of
// times as large. The broker's memory budgets hold them back: 512 MiB for frames and as much for what they decode to.
func TestFramesOfSmallElements(t *testing.T) {
	t.Run("8 of 1 MiB", func(t *testing.T) { throwSmallElements(t, 1<<20, 8) })
	t.Run("6 of 10 MiB", func(t *testing.T) { throwSmallElements(t, 10<<20, 6) })
}

func throwSmallElements(t *testing.T, sizeBytes, senders int) {
	int32Array := func(before, element []byte) []byte {
		count := sizeBytes / len(element)
		p := binary.BigEndian.AppendUint32(bytes.Clone(before), uint32(count))
		return append(p, bytes.Repeat(element, count)...)
	}
	compactArray := func(before, element, after []byte) []byte {
		count := sizeBytes / len(element)
		p := binary.AppendUvarint(bytes.Clone(before), uint64(count)+1)
		return append(append(p, bytes.Repeat(element, count)...), after...)
	}
	zeros := func(n int) []byte { return make([]byte, n) }
	n := startNode(t, 1280, nil)
	for _, tc := range []struct {
		name         string
		key, version int16
		flexible     bool
		body         []byte
	}{
		{"Metadata, empty names", 3, 4, false, append(int32Array(nil, []byte{0, 0}), 0)},
		{"Metadata, topic ids", 3, 12, true, compactArray(nil, append(zeros(16), 0, 0), []byte{0, 0, 0})},
		{"Produce, topics without partitions", 0, 9, true, compactArray([]byte{0, 0xff, 0xff, 0, 0, 0, 1}, []byte{1, 1, 0}, []byte{0})},
		{"Produce, one topic of empty partitions", 0, 9, true, compactArray([]byte{0, 0xff, 0xff, 0, 0, 0, 1, 2, 2, 'x'}, append(zeros(4), 0, 0), []byte{0, 0})},
		{"Fetch, topics without partitions", 1, 12, true, compactArray(append(zeros(12), append([]byte{0x7f, 0xff, 0xff, 0xff, 0}, zeros(8)...)...), []byte{1, 1, 0}, []byte{1, 1, 0})},
		{"Fetch, partitions", 1, 4, false, func() []byte {
			before := append([]byte{0xff, 0xff, 0xff, 0xff}, zeros(8)...)
			before = append(before, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 1, 'x')
			return int32Array(before, zeros(16))
		}()},
		{"ListOffsets, partitions", 2, 1, false, int32Array([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 1, 'x'}, zeros(12))},
		{"CreateTopics, empty topics", 19, 2, false, append(int32Array(nil, append(zeros(2+4+2), zeros(8)...)), 0, 0, 0x10, 0, 1)},
		{"CreateTopics, configs", 19, 2, false, append(int32Array([]byte{0, 0, 0, 1, 0, 1, 'x', 0, 0, 0, 1, 0, 1, 0, 0, 0, 0}, zeros(4)), 0, 0, 0x10, 0, 1)},
		{"DeleteTopics, empty names", 20, 1, false, append(int32Array(nil, []byte{0, 0}), 0, 0, 0x10, 0)},
		{"DescribeConfigs, resources", 32, 0, false, int32Array(nil, []byte{2, 0, 0, 0, 0, 0, 0})},
		{"IncrementalAlterConfigs, resources", 44, 0, false, append(int32Array(nil, []byte{2, 0, 0, 0, 0, 0, 0}), 0)},
		{"OffsetFetch, groups", 9, 8, true, compactArray(nil, []byte{1, 0, 0}, []byte{0, 0})},
		{"OffsetCommit, partitions", 8, 2, false, int32Array(append([]byte{0, 1, 'g', 0xff, 0xff, 0xff, 0xff, 0, 0}, append(bytes.Repeat([]byte{0xff}, 8), 0, 0, 0, 1, 0, 1, 'x')...), append(zeros(12), 0, 0))},
		{"DescribeGroups, empty names", 15, 0, false, int32Array(nil, []byte{0, 0})},
		{"DeleteGroups, empty names", 42, 0, false, int32Array(nil, []byte{0, 0})},
		{"JoinGroup, protocols", 11, 2, false, int32Array([]byte{0, 1, 'g', 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 'c'}, []byte{0, 0, 0, 0, 0, 0})},
		{"SyncGroup, assignments", 14, 1, false, int32Array([]byte{0, 1, 'g', 0, 0, 0, 1, 0, 1, 'm'}, []byte{0, 0, 0, 0, 0, 0})},
		{"FindCoordinator, empty keys", 10, 4, true, compactArray([]byte{0}, []byte{1}, []byte{0})},
		{"DeleteRecords, partitions", 21, 0, false, append(int32Array([]byte{0, 0, 0, 1, 0, 1, 'x'}, zeros(12)), 0, 0, 0x10, 0)},
		{"DescribeTopicPartitions, empty names", 75, 0, true, compactArray(nil, []byte{1, 0}, []byte{0, 0, 7, 0xd0, 0xff, 0})},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n.peak.Store(0)
			bomb := frame(append(header(tc.key, tc.version, 1, tc.flexible), tc.body...))
			var all sync.WaitGroup
			var ended atomic.Int32
			began := time.Now()
			for range senders {
				p := n.dial()
				all.Go(func() {
					if p.ask(bomb, 90*time.Second) == nil {
						ended.Add(1)
					}
					p.Close()
				})
			}
			all.Wait()
			took := time.Since(began)
			n.awaitNeighbour(10)
			peak := n.peak.Load() >> 20
			t.Logf("%v, %d of %d refused, memory at most %d MiB", took.Round(time.Millisecond), ended.Load(), senders, peak)
			if peak > n.boundMiB {
				t.Errorf("anonymous memory grew to %d MiB, the bound is %d MiB", peak, n.boundMiB)
			}
		})
	}
}

// One request with very many partitions, known and unknown, is answered in full.
func TestProduceToManyPartitions(t *testing.T) {
	n := startNode(t, 256, nil)
	for _, partitions := range []int{1000, 100_000} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			r := kmsg.NewPtrProduceRequest()
			r.Version, r.Acks, r.TimeoutMillis = 9, -1, 5000
			topic := kmsg.NewProduceRequestTopic()
			topic.Topic = "neighbour"
			for i := range partitions {
				topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: int32(i), Records: []byte{}})
			}
			r.Topics = append(r.Topics, topic)
			answer := n.dial().ask(request(r, 1), 30*time.Second)
			response := kmsg.NewPtrProduceResponse()
			response.Version = 9
			if len(answer) < 5 || response.ReadFrom(answer[5:]) != nil || len(response.Topics) != 1 || len(response.Topics[0].Partitions) != partitions {
				t.Errorf("answered %d bytes, want %d partitions", len(answer), partitions)
			}
		})
	}
	n.awaitNeighbour(20)
}
