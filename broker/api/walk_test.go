package api

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// randomProduce makes a request whose every field may have any value.
func randomProduce(rng *rand.Rand, version int16) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version = version
	if rng.IntN(2) == 0 {
		id := fmt.Sprint("txn-", rng.Uint32())
		r.TransactionID = &id
	}
	r.Acks, r.TimeoutMillis = int16(rng.IntN(5)-2), int32(rng.Uint32())
	for range rng.IntN(4) {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = fmt.Sprint("topic-", rng.IntN(1000))
		for i := range t.TopicID {
			t.TopicID[i] = byte(rng.Uint32())
		}
		for range rng.IntN(5) {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition = int32(rng.Uint32())
			if rng.IntN(5) > 0 {
				p.Records = bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(300))
			}
			if version >= 9 && rng.IntN(4) == 0 {
				p.UnknownTags.Set(77, []byte("not known"))
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}

// The walk of a Produce request finds what kmsg decodes, on every version.
func TestProduceWalkEqualsKmsg(t *testing.T) {
	var got produceRequest // reused, as a connection does
	for version := int16(3); version <= 13; version++ {
		for seed := range uint64(100) {
			want := randomProduce(rand.New(rand.NewPCG(seed, uint64(version))), version)
			body := want.AppendTo(nil)
			if !got.walk(body, version) {
				t.Fatalf("version %d seed %d: not well formed", version, seed)
			}
			if diff := diffProduce(&got, want); diff != "" {
				t.Fatalf("version %d seed %d: %s", version, seed, diff)
			}
			for cut := range body {
				if got.walk(body[:cut], version) {
					t.Fatalf("version %d seed %d: %d of %d bytes are taken for a whole request", version, seed, cut, len(body))
				}
			}
		}
	}
}

func diffProduce(got *produceRequest, want *kmsg.ProduceRequest) string {
	if (got.TransactionalID == nil) != (want.TransactionID == nil) || want.TransactionID != nil && string(got.TransactionalID) != *want.TransactionID {
		return fmt.Sprintf("transactional id %q", got.TransactionalID)
	}
	if got.Acks != want.Acks || got.TimeoutMillis != want.TimeoutMillis || len(got.Topics) != len(want.Topics) {
		return fmt.Sprintf("%+v", got)
	}
	next := 0
	for i, topic := range want.Topics {
		g := got.Topics[i]
		if want.Version >= 13 && g.ID != topic.TopicID || want.Version < 13 && string(g.Name) != topic.Topic || g.Partitions != len(topic.Partitions) {
			return fmt.Sprintf("topic %d: %+v", i, g)
		}
		for _, p := range topic.Partitions {
			if q := got.Partitions[next]; q.Index != p.Partition || !bytes.Equal(q.Records, p.Records) || (q.Records == nil) != (p.Records == nil) {
				return fmt.Sprintf("topic %d partition %d: %d, %d bytes", i, p.Partition, q.Index, len(q.Records))
			}
			next++
		}
	}
	return ""
}

func randomFetch(rng *rand.Rand, version int16) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version = version
	r.ReplicaID, r.MaxWaitMillis, r.MinBytes, r.MaxBytes = int32(rng.IntN(9)-1), int32(rng.Uint32()), int32(rng.Uint32()), int32(rng.Uint32())
	r.ReplicaState.ID = r.ReplicaID
	r.IsolationLevel, r.SessionID, r.SessionEpoch = int8(rng.IntN(2)), int32(rng.Uint32()), int32(rng.Uint32())
	r.Rack = "rack"
	for range rng.IntN(4) {
		t := kmsg.NewFetchRequestTopic()
		t.Topic = fmt.Sprint("topic-", rng.IntN(1000))
		t.TopicID[0], t.TopicID[15] = byte(rng.Uint32()), byte(rng.Uint32())
		for range rng.IntN(5) {
			p := kmsg.NewFetchRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.FetchOffset = int32(rng.Uint32()), int32(rng.Uint32()), int64(rng.Uint64())
			p.LastFetchedEpoch, p.LogStartOffset, p.PartitionMaxBytes = int32(rng.Uint32()), int64(rng.Uint64()), int32(rng.Uint32())
			if version >= 17 {
				p.ReplicaDirectoryID[3] = byte(rng.IntN(2))
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	if version >= 7 {
		for range rng.IntN(3) {
			f := kmsg.NewFetchRequestForgottenTopic()
			f.Topic = fmt.Sprint("forgotten-", rng.IntN(1000))
			f.TopicID[1] = byte(rng.Uint32())
			for range rng.IntN(4) {
				f.Partitions = append(f.Partitions, int32(rng.Uint32()))
			}
			r.ForgottenTopics = append(r.ForgottenTopics, f)
		}
	}
	return r
}

// The walk of a Fetch request finds what kmsg decodes, on every version.
func TestFetchWalkEqualsKmsg(t *testing.T) {
	var got fetchRequest
	for version := int16(4); version <= 18; version++ {
		for seed := range uint64(100) {
			body := randomFetch(rand.New(rand.NewPCG(seed, uint64(version))), version).AppendTo(nil)
			want := kmsg.NewPtrFetchRequest()
			want.Version = version
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			if !got.walk(body, version) {
				t.Fatalf("version %d seed %d: not well formed", version, seed)
			}
			if diff := diffFetch(&got, want); diff != "" {
				t.Fatalf("version %d seed %d: %s", version, seed, diff)
			}
			for cut := range body {
				if got.walk(body[:cut], version) {
					t.Fatalf("version %d seed %d: %d of %d bytes are taken for a whole request", version, seed, cut, len(body))
				}
			}
		}
	}
}

func diffFetch(got *fetchRequest, want *kmsg.FetchRequest) string {
	replica := want.ReplicaID
	if want.Version >= 15 {
		replica = want.ReplicaState.ID
	}
	if got.ReplicaID != replica || got.MaxWaitMillis != want.MaxWaitMillis || got.MinBytes != want.MinBytes || got.MaxBytes != want.MaxBytes ||
		got.Isolation != want.IsolationLevel || got.SessionID != want.SessionID || got.SessionEpoch != want.SessionEpoch || len(got.Topics) != len(want.Topics) {
		return fmt.Sprintf("%+v, want %+v", got, want)
	}
	next := 0
	for i, topic := range want.Topics {
		g := got.Topics[i]
		if want.Version >= 13 && g.ID != topic.TopicID || want.Version < 13 && string(g.Name) != topic.Topic || g.Partitions != len(topic.Partitions) {
			return fmt.Sprintf("topic %d: %+v", i, g)
		}
		for _, p := range topic.Partitions {
			w := fetchPartition{Index: p.Partition, CurrentLeaderEpoch: p.CurrentLeaderEpoch, FetchOffset: p.FetchOffset,
				LastFetchedEpoch: p.LastFetchedEpoch, LogStartOffset: p.LogStartOffset, MaxBytes: p.PartitionMaxBytes}
			if got.Partitions[next] != w {
				return fmt.Sprintf("topic %d: %+v, want %+v", i, got.Partitions[next], w)
			}
			next++
		}
	}
	next = 0
	for i, topic := range want.ForgottenTopics {
		g := got.Forgotten[i]
		if want.Version >= 13 && g.ID != topic.TopicID || want.Version < 13 && string(g.Name) != topic.Topic {
			return fmt.Sprintf("forgotten topic %d: %+v", i, g)
		}
		for _, p := range topic.Partitions {
			if got.ForgottenIDs[next] != p {
				return fmt.Sprintf("forgotten topic %d: partition %d, want %d", i, got.ForgottenIDs[next], p)
			}
			next++
		}
	}
	return ""
}

// An array length is only a claim: storage grows by what is there.
func TestWalkAllocatesByWhatIsThere(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 1, 'a', 0x7f, 0xff, 0xff, 0xff}
	var r produceRequest
	if r.walk(huge, 3) || cap(r.Partitions) > 16 {
		t.Fatalf("storage for %d partitions", cap(r.Partitions))
	}
}

func FuzzProduceWalk(f *testing.F) {
	for version := int16(3); version <= 13; version++ {
		f.Add(randomProduce(rand.New(rand.NewPCG(uint64(version), 3)), version).AppendTo(nil), version)
	}
	f.Fuzz(func(t *testing.T, body []byte, version int16) {
		if version < 3 || version > 13 {
			return
		}
		var got produceRequest
		if !got.walk(body, version) {
			return
		}
		want := kmsg.NewPtrProduceRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil {
			return // kmsg refuses tags that it knows and that are malformed
		}
		if diff := diffProduce(&got, want); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzFetchWalk(f *testing.F) {
	for version := int16(4); version <= 18; version++ {
		f.Add(randomFetch(rand.New(rand.NewPCG(uint64(version), 3)), version).AppendTo(nil), version)
	}
	f.Fuzz(func(t *testing.T, body []byte, version int16) {
		if version < 4 || version > 18 {
			return
		}
		var got fetchRequest
		if !got.walk(body, version) {
			return
		}
		want := kmsg.NewPtrFetchRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil {
			return
		}
		if diff := diffFetch(&got, want); diff != "" {
			t.Fatal(diff)
		}
	})
}
