package replica

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log/scrub"
	"github.com/millrace-io/millrace/broker/log/segment"
)

// consume is what package api does with the fetch of a consumer.
func (n *meshNode) consume(other int32, asked *kmsg.FetchRequest) (*kmsg.FetchResponse, error) {
	manager, err := n.reaches(other)
	if err != nil {
		return nil, err
	}
	at := asked.Topics[0].Partitions[0]
	answer := kmsg.NewPtrFetchResponse()
	found := Found{Topic: asked.Topics[0].TopicID, Number: at.Partition}
	t := manager.TopicByID(found.Topic)
	p, refusal := manager.FindReadable(t, at.Partition, AnyEpoch)
	if refusal != nil {
		found.Err = refusal
	} else if found.Slice, err = p.Log().Read(at.FetchOffset, p.HighWatermark(), int(at.PartitionMaxBytes), true); err != nil {
		return nil, err
	}
	return answer, addFound(answer, &found)
}

// sealed is a topic of three replicas, each with a sealed segment of ten records.
func sealed(t *testing.T, settings map[string]string) *mesh {
	m := newMesh(t, 3)
	settings["min.insync.replicas"] = "2"
	m.create("orders", settings, []int32{1, 2, 3})
	for i := range 10 {
		mustAppend(t, m, 1, fmt.Sprint("value ", i))
	}
	for id := int32(1); id <= 3; id++ {
		p := m.on(id, "orders", 0)
		m.eventually("every replica holds all", func() bool { return p.HighWatermark() == 10 })
		if err := p.Log().Roll(); err != nil {
			t.Fatal(err)
		}
		if err := m.nodes[id].dir.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// hurt flips a bit of a node's sealed segment and returns what was there before.
func (m *mesh) hurt(id int32) (name string, whole []byte) {
	m.t.Helper()
	name = m.on(id, "orders", 0).Log().Sealed()[0].FileName(segment.LogSuffix)
	p, err := segment.ReadFile(m.nodes[id].disk, name)
	if err != nil {
		m.t.Fatal(err)
	}
	whole = bytes.Clone(p)
	f, err := m.nodes[id].disk.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{whole[100] ^ 1}, 100); err != nil {
		m.t.Fatal(err)
	}
	return name, whole
}

// scrub is a pass of a node's scrubber.
func (m *mesh) scrub(id int32) []scrub.Damage {
	manager := m.nodes[id].running()
	manager.scrubber.Pass(context.Background())
	return manager.Damages()
}

func TestADamagedSegmentIsMendedFromAReplicaInSync(t *testing.T) {
	for id, who := range map[int32]string{1: "the leader", 2: "a follower"} {
		t.Run(who, func(t *testing.T) {
			m := sealed(t, map[string]string{})
			name, whole := m.hurt(id)
			if damages := m.scrub(id); len(damages) != 0 {
				t.Fatalf("not mended: %v", damages[0].Kept)
			}
			if now, err := segment.ReadFile(m.nodes[id].disk, name); err != nil || !bytes.Equal(now, whole) {
				t.Fatalf("the segment is not what it was: %v", err)
			}
			mustAppend(t, m, 1, "and on it goes")
			m.sameEverywhere("orders", 0)
		})
	}
}

func TestADamagedSegmentStaysWhereNobodyCanMendIt(t *testing.T) {
	for _, test := range []struct {
		name, want string
		settings   map[string]string
		prepare    func(m *mesh)
	}{
		{"compacted", "differ", map[string]string{"cleanup.policy": "compact"}, func(*mesh) {}},
		{"the others are hurt, too", "from broker 2", map[string]string{}, func(m *mesh) { m.hurt(2); m.hurt(3) }},
		{"alone", "no other replica is in sync", map[string]string{"min.insync.replicas": "1"}, func(m *mesh) {
			m.nodes[2].stop()
			m.nodes[3].stop()
			m.fence(2)
			m.fence(3)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := sealed(t, test.settings)
			test.prepare(m)
			m.hurt(1)
			damages := m.scrub(1)
			if len(damages) != 1 || !strings.Contains(fmt.Sprint(damages[0].Kept), test.want) {
				t.Fatalf("%+v, want %q", damages, test.want)
			}
			if l := m.on(1, "orders", 0).Log(); l.Err() != nil || !l.Holds(damages[0].Segment) {
				t.Fatalf("the log is %v", l.Err())
			}
		})
	}
}
