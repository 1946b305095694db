package api

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
)

// sessionClient fetches through one session, as clients do.
type sessionClient struct {
	*client
	version   int16
	id, epoch int32
}

// fetch sends what changed and returns the size of each partition's records, by partition, for those that respond.
func (s *sessionClient) fetch(topic string, id image.TopicID, offsets map[int32]int64, forget ...int32) (map[int32]int, *kmsg.FetchResponse) {
	s.t.Helper()
	r := fetchOf(s.version, topic, id, offsets)
	r.SessionID, r.SessionEpoch = s.id, s.epoch
	if len(forget) > 0 {
		f := kmsg.NewFetchRequestForgottenTopic()
		f.Topic, f.TopicID, f.Partitions = topic, id, forget
		r.ForgottenTopics = append(r.ForgottenTopics, f)
	}
	answer := s.request(r).(*kmsg.FetchResponse)
	sizes := map[int32]int{}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				sizes[p.Partition] = -int(p.ErrorCode)
			} else {
				sizes[p.Partition] = len(p.RecordBatches)
			}
		}
	}
	if answer.ErrorCode == 0 {
		s.id = answer.SessionID
		s.epoch++
	}
	return sizes, answer
}

func TestFetchSession(t *testing.T) {
	for _, version := range []int16{7, 12, 13, 18} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			n := startNode(t)
			id := n.topic("orders", 4, nil)
			s := &sessionClient{client: n.dial(), version: version}
			producer := n.dial()
			sizes, answer := s.fetch("orders", id, map[int32]int64{0: 0, 1: 0, 2: 0})
			if answer.SessionID == 0 || len(sizes) != 3 {
				t.Fatalf("the first answer names all partitions and a session: %v %d", sizes, answer.SessionID)
			}
			if sizes, _ = s.fetch("orders", id, nil); len(sizes) != 0 {
				t.Fatalf("nothing is new: %v", sizes)
			}
			producer.produce("orders", 1, "x")
			if sizes, _ = s.fetch("orders", id, nil); len(sizes) != 1 || sizes[1] == 0 {
				t.Fatalf("partition 1 has data: %v", sizes)
			}
			if sizes, _ = s.fetch("orders", id, map[int32]int64{1: 1}); len(sizes) != 0 {
				t.Fatalf("partition 1 was read: %v", sizes)
			}
			producer.produce("orders", 3, "x")
			if sizes, _ = s.fetch("orders", id, map[int32]int64{3: 0}, 0); len(sizes) != 1 || sizes[3] == 0 {
				t.Fatalf("partition 3 joins: %v", sizes)
			}
			producer.produce("orders", 0, "x")
			if sizes, _ = s.fetch("orders", id, map[int32]int64{3: 1}); len(sizes) != 0 {
				t.Fatalf("partition 0 was forgotten: %v", sizes)
			}
			// An error is told once it happens, and its end is told too.
			if sizes, _ = s.fetch("orders", id, map[int32]int64{2: 50}); sizes[2] != -int(kerr.OffsetOutOfRange.Code) {
				t.Fatalf("partition 2 is out of range: %v", sizes)
			}
			if sizes, _ = s.fetch("orders", id, map[int32]int64{2: 0}); len(sizes) != 1 || sizes[2] != 0 {
				t.Fatalf("partition 2 is fine again: %v", sizes)
			}
			if _, answer = s.fetch("orders", id, nil, 1, 2, 3); answer.SessionID != 0 {
				t.Fatalf("a session without partitions ends: %d", answer.SessionID)
			}
		})
	}
}

func TestFetchSessionErrors(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, nil)
	s := &sessionClient{client: n.dial(), version: 12}
	s.fetch("orders", id, map[int32]int64{0: 0})
	for _, test := range []struct {
		name      string
		version   int16
		id, epoch int32
		want      *kerr.Error
	}{
		{"unknown session", 12, s.id + 1, 1, kerr.FetchSessionIDNotFound},
		{"no session", 12, 0, 1, kerr.FetchSessionIDNotFound},
		{"skipped epoch", 12, s.id, 2, kerr.InvalidFetchSessionEpoch},
		{"from names to ids", 13, s.id, 1, kerr.FetchSessionTopicIDError},
	} {
		t.Run(test.name, func(t *testing.T) {
			other := &sessionClient{client: n.dial(), version: test.version, id: test.id, epoch: test.epoch}
			if _, answer := other.fetch("orders", id, nil); answer.ErrorCode != test.want.Code || len(answer.Topics) != 0 {
				t.Fatalf("%v, want %v", kerr.ErrorForCode(answer.ErrorCode), test.want)
			}
		})
	}
	if _, answer := s.fetch("orders", id, nil); answer.ErrorCode != 0 {
		t.Fatalf("the session goes on: %v", kerr.ErrorForCode(answer.ErrorCode))
	}
	closing := &sessionClient{client: n.dial(), version: 12, id: s.id, epoch: -1}
	if _, answer := closing.fetch("orders", id, nil); answer.ErrorCode != 0 || answer.SessionID != 0 {
		t.Fatalf("%+v", answer)
	}
	if _, answer := s.fetch("orders", id, nil); answer.ErrorCode != kerr.FetchSessionIDNotFound.Code {
		t.Fatalf("the session was closed: %v", kerr.ErrorForCode(answer.ErrorCode))
	}
}

// A topic that is deleted, and one that comes back, are told within a session.
func TestFetchSessionSeesTopicsComeAndGo(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 1, nil)
	byName, byID := &sessionClient{client: n.dial(), version: 12}, &sessionClient{client: n.dial(), version: 13}
	for _, s := range []*sessionClient{byName, byID} {
		s.fetch("orders", id, map[int32]int64{0: 0})
	}
	n.edit(func(e *image.Edit) error { return e.DeleteTopic(id) })
	if sizes, _ := byName.fetch("orders", id, nil); sizes[0] != -int(kerr.UnknownTopicOrPartition.Code) {
		t.Fatalf("%v", sizes)
	}
	if sizes, _ := byID.fetch("orders", id, nil); sizes[0] != -int(kerr.UnknownTopicID.Code) {
		t.Fatalf("%v", sizes)
	}
	n.topic("orders", 1, nil)
	if sizes, _ := byName.fetch("orders", id, nil); !maps.Equal(sizes, map[int32]int{0: 0}) {
		t.Fatalf("%v", sizes)
	}
	if sizes, _ := byID.fetch("orders", id, nil); sizes[0] != -int(kerr.UnknownTopicID.Code) {
		t.Fatalf("the new topic has another id: %v", sizes)
	}
}

// With little room in an answer, each partition of a session gets its turn.
func TestFetchSessionServesPartitionsInTurn(t *testing.T) {
	n := startNode(t)
	id := n.topic("orders", 3, nil)
	producer := n.dial()
	for p := range int32(3) {
		for range 3 {
			producer.produce("orders", p, "x")
		}
	}
	s := &sessionClient{client: n.dial(), version: 12}
	offsets := map[int32]int64{0: 0, 1: 0, 2: 0}
	var order []int32
	for range 6 {
		r := fetchOf(12, "orders", id, offsets)
		r.SessionID, r.SessionEpoch, r.MaxBytes = s.id, s.epoch, 1
		answer := s.request(r).(*kmsg.FetchResponse)
		s.id, s.epoch = answer.SessionID, s.epoch+1
		for _, topic := range answer.Topics {
			for _, p := range topic.Partitions {
				if len(p.RecordBatches) > 0 {
					order = append(order, p.Partition)
					offsets[p.Partition]++
				}
			}
		}
	}
	if want := []int32{0, 1, 2, 0, 1, 2}; !slices.Equal(order, want) {
		t.Fatalf("order %v, want %v", order, want)
	}
}

func TestFetchSessionCacheEviction(t *testing.T) {
	now := time.Unix(1000, 0)
	c := newFetchSessions(2, nil)
	services := &Services{Clock: func() time.Time { return now }}
	open := func(partitions int) int32 {
		s := &session{services: services, api: &API{services: services, fetches: c}}
		s.call.Peer = newTestPeer()
		r := &s.fetch.walked
		r.Topics = []fetchTopic{{Name: []byte("t"), Partitions: partitions}}
		for i := range partitions {
			r.Partitions = append(r.Partitions, fetchPartition{Index: int32(i)})
			s.fetch.targets = append(s.fetch.targets, fetchTarget{name: []byte("t"), fetchPartition: r.Partitions[i]})
		}
		if made := c.create(s, r, 12); made != nil {
			return made.id
		}
		return 0
	}
	small, large := open(3), open(5)
	if small == 0 || large == 0 {
		t.Fatal("there is room for two")
	}
	if open(9) != 0 {
		t.Fatal("a new session does not drive out young ones")
	}
	now = now.Add(sessionEvictionAge + time.Second)
	for _, session := range c.sessions {
		session.lastUsed = now // both in use
	}
	if open(2) != 0 {
		t.Fatal("a smaller session does not drive out a larger one")
	}
	if open(4) == 0 || c.sessions[small] != nil || c.sessions[large] == nil {
		t.Fatal("a larger session drives out the smallest old one")
	}
	now = now.Add(sessionEvictionAge + time.Second)
	if open(1) == 0 {
		t.Fatal("an unused session makes room for any")
	}
	if _, partitions := c.count(); len(c.sessions) != 2 || partitions > 6 {
		t.Fatalf("%d sessions with %d partitions", len(c.sessions), partitions)
	}
}
