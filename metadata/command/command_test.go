package command

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

func topicID(n int) image.TopicID { return image.TopicID{15: byte(n)} }

func drawPartition(t *rapid.T, label string) *image.Partition {
	ids := rapid.SliceOfN(rapid.Int32Range(0, 3), 0, 3)
	p := &image.Partition{
		Replicas: ids.Draw(t, label+" replicas"), ISR: ids.Draw(t, label+" isr"), ELR: ids.Draw(t, label+" elr"),
		Leader: rapid.Int32Range(-1, 3).Draw(t, label+" leader"), LeaderEpoch: rapid.Int32Range(0, 2).Draw(t, label+" epoch"),
	}
	if rapid.Bool().Draw(t, label+" directories") {
		p.Directories = [][16]byte{{1}, {2}}
	}
	p.RecoveryState = rapid.SampledFrom([]image.RecoveryState{image.Recovered, image.Recovering}).Draw(t, label+" recovery")
	p.Mover = rapid.SampledFrom([]image.Mover{image.ByOperator, image.ByDrain, image.ByBalance}).Draw(t, label+" mover")
	return p
}

func drawPartitions(t *rapid.T) []*image.Partition {
	parts := make([]*image.Partition, rapid.IntRange(1, 130).Draw(t, "partitions"))
	like := drawPartition(t, "like")
	for i := range parts {
		parts[i] = like
	}
	parts[len(parts)-1] = drawPartition(t, "last")
	return parts
}

func drawValues(t *rapid.T) map[string]*string {
	values := map[string]*string{}
	for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 0, 3).Draw(t, "keys") {
		values[name] = nil
		if rapid.Bool().Draw(t, "set") {
			v := rapid.SampledFrom([]string{"", "1", "x,y"}).Draw(t, "value")
			values[name] = &v
		}
	}
	return values
}

// drawCommand makes a command that often, but not always, fits the image.
func drawCommand(t *rapid.T, img *image.Image) Command {
	id := topicID(rapid.IntRange(0, 6).Draw(t, "id"))
	name := rapid.SampledFrom([]string{"a", "b", "a.b", "a_b", "a-b", ""}).Draw(t, "name")
	tenant := rapid.SampledFrom([]string{"default", "other"}).Draw(t, "tenant")
	switch rapid.IntRange(0, 10).Draw(t, "kind") {
	case 0:
		return NameCluster{ClusterID: name}
	case 1, 2:
		overrides := map[string]string{}
		if rapid.Bool().Draw(t, "configured") {
			overrides["retention.ms"] = "1"
		}
		return CreateTopic{Topic: image.NewTopic(id, tenant, name, rapid.Bool().Draw(t, "internal"), overrides, drawPartitions(t))}
	case 3:
		return DeleteTopic{TopicID: id}
	case 4:
		first := 0
		if topic := img.TopicByID(id); topic != nil {
			first = topic.PartitionCount()
		}
		return AddPartitions{TopicID: id, First: int32(first), Partitions: drawPartitions(t)}
	case 5:
		c := ChangePartitions{TopicID: id}
		if topic := img.TopicByID(id); topic != nil {
			for i, p := range topic.Partitions() {
				if i%7 == 0 {
					c.Changes = append(c.Changes, PartitionChange{Partition: i, PartitionEpoch: p.PartitionEpoch, Leader: 1, LeaderEpoch: p.LeaderEpoch + 1})
				}
			}
			c.Changes[0].State = drawPartition(t, "state")
		}
		return c
	case 6:
		return SetConfig{Resource: config.Resource{Type: config.TopicResource, Tenant: tenant, Name: name}, Values: drawValues(t)}
	case 7:
		r := config.Resource{Type: rapid.SampledFrom([]config.ResourceType{config.BrokerResource, config.GroupResource}).Draw(t, "type"), Name: name}
		return SetConfig{Resource: r, Values: drawValues(t)}
	case 8:
		b := &image.Broker{ID: rapid.Int32Range(0, 3).Draw(t, "broker"), Incarnation: [16]byte{7}, Rack: name, Fenced: rapid.Bool().Draw(t, "fenced")}
		b.Listeners = []image.Listener{{Name: "PLAINTEXT", Host: "h", Port: 9092, SecurityProtocol: "PLAINTEXT"}}
		b.Epoch, b.InControlledShutdown = 3, rapid.Bool().Draw(t, "shutdown")
		return RegisterBroker{Broker: b, KeepEpoch: rapid.Bool().Draw(t, "keep")}
	case 9:
		id := rapid.Int32Range(0, 3).Draw(t, "broker")
		switch rapid.IntRange(0, 2).Draw(t, "what") {
		case 0:
			return RemoveBroker{ID: id}
		case 1:
			c := ChangeBroker{ID: id, Fenced: rapid.Bool().Draw(t, "fenced"), InControlledShutdown: rapid.Bool().Draw(t, "shutdown")}
			if b := img.Broker(id); b != nil {
				c.Epoch = b.Epoch
			}
			return c
		}
		return TakeProducerIDs{BrokerID: 1, First: img.NextProducerID(), Count: rapid.Int32Range(0, 1000).Draw(t, "count")}
	}
	return SetFeature{Name: name, Level: int16(rapid.IntRange(-1, 3).Draw(t, "level"))}
}

// withoutReturns leaves out topics that would be made with the id of one that was deleted since the last delta: ids are random, and
// no topic comes back as itself.
func withoutReturns(group Group, gone map[[16]byte]bool) {
	for i, one := range group {
		switch c := one.(type) {
		case DeleteTopic:
			gone[c.TopicID] = true
		case CreateTopic:
			if gone[c.Topic.ID] {
				group[i] = NameCluster{ClusterID: "c"}
			}
		}
	}
}

func TestImageAfterCommands(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		img, published, changes := image.Empty(), image.Empty(), image.NewChanges()
		gone := map[[16]byte]bool{}
		for index := uint64(1); index <= uint64(rapid.IntRange(1, 25).Draw(t, "entries")); index++ {
			group := Group{drawCommand(t, img), drawCommand(t, img)}[:rapid.IntRange(1, 2).Draw(t, "commands")]
			withoutReturns(group, gone)
			entry := Encode([]Group{group})
			decoded, err := Decode(entry)
			if err != nil {
				t.Fatalf("decode %#v: %v", group, err)
			}
			if !bytes.Equal(Encode(decoded), entry) {
				t.Fatalf("%#v is read as %#v", group, decoded)
			}
			before := img.Snapshot()
			next, refusals := Apply(img, index, decoded, changes)
			if !bytes.Equal(img.Snapshot(), before) {
				t.Fatalf("%#v changed the image that it was applied to", group)
			}
			if refusals[0] != nil {
				if !errors.Is(refusals[0], image.ErrNotApplicable) {
					t.Fatalf("refusal %v is not ErrNotApplicable", refusals[0])
				}
				same, _ := Apply(img, index, nil, image.NewChanges())
				if !bytes.Equal(next.Snapshot(), same.Snapshot()) {
					t.Fatalf("refused %#v left a trace", group)
				}
			}
			img = next
			checkImage(t, img)
			if rapid.IntRange(0, 3).Draw(t, "publish") == 0 {
				checkDelta(t, changes.Delta(published, img))
				published, changes = img, image.NewChanges()
				clear(gone)
			}
		}
		checkDelta(t, changes.Delta(published, img))
		restored, err := image.Restore(img.Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		checkImage(t, restored)
		if !bytes.Equal(restored.Snapshot(), img.Snapshot()) {
			t.Fatal("the restored image is another")
		}
		if d := image.Difference(img, restored); len(d.Topics)+len(d.Configs)+len(d.Brokers) > 0 || d.Features {
			t.Fatalf("the restored image differs: %+v", d)
		}
	})
}

// checkImage holds the look-ups of an image against each other.
func checkImage(t *rapid.T, img *image.Image) {
	topics, parts := 0, 0
	for topic := range img.AllTopics() {
		topics++
		n := 0
		for i, p := range topic.Partitions() {
			if p == nil || topic.Partition(i) != p {
				t.Fatalf("partition %d of %s is %v", i, topic.Name, p)
			}
			n++
		}
		parts += n
		if n != topic.PartitionCount() || topic.Partition(int32(n)) != nil || topic.Partition(-1) != nil {
			t.Fatalf("%s walks %d of %d partitions", topic.Name, n, topic.PartitionCount())
		}
		if img.TopicByID(topic.ID) != topic || img.Topic(topic.Tenant, topic.Name) != topic {
			t.Fatalf("%s is not what its id or name leads to", topic.Name)
		}
	}
	if topics != img.TopicCount() || parts != img.PartitionCount() {
		t.Fatalf("%d topics and %d partitions, counted as %d and %d", topics, parts, img.TopicCount(), img.PartitionCount())
	}
}

// checkDelta holds a delta that was collected while applying against the comparison of the two images.
func checkDelta(t *rapid.T, collected *image.Delta) {
	compared := image.Difference(collected.From, collected.To)
	for _, want := range compared.Topics {
		at := slices.IndexFunc(collected.Topics, func(c image.TopicChange) bool { return c.Before == want.Before && c.After == want.After })
		if at < 0 {
			t.Fatalf("the delta lacks %+v", want)
		}
		for _, i := range want.Partitions {
			if !slices.Contains(collected.Topics[at].Partitions, i) {
				t.Fatalf("the delta lacks partition %d of %+v", i, want)
			}
		}
	}
	for _, r := range compared.Configs {
		if !slices.Contains(collected.Configs, r) {
			t.Fatalf("the delta lacks the settings of %+v", r)
		}
	}
	for _, id := range compared.Brokers {
		if !slices.Contains(collected.Brokers, id) {
			t.Fatalf("the delta lacks broker %d", id)
		}
	}
	for _, c := range collected.Topics {
		if c.Before != nil && collected.From.TopicByID(c.Before.ID) != c.Before || c.After != nil && collected.To.TopicByID(c.After.ID) != c.After || c.Before == nil && c.After == nil {
			t.Fatalf("the delta holds %+v, which is of neither image", c)
		}
	}
}

func TestDecodeRefusesWhatIsNewer(t *testing.T) {
	newerEntry := Encode([]Group{{NameCluster{"c"}}})
	newerEntry[0] = 2
	newerRecord := Encode([]Group{{NameCluster{"c"}}})
	newerRecord[4] = byte(kindNameCluster.version()) + 1
	unknown := Encode([]Group{{NameCluster{"c"}}})
	unknown[3] = 99
	for name, p := range map[string][]byte{"entry": newerEntry, "record version": newerRecord, "record type": unknown} {
		_, err := Decode(p)
		if err == nil || !strings.Contains(err.Error(), "written by a newer release") {
			t.Errorf("newer %s: %v", name, err)
		}
	}
}

func TestApplyingCostsWhatChanged(t *testing.T) {
	img := image.Empty()
	for i := range 2000 {
		id := image.TopicID{0: 1, 14: byte(i >> 8), 15: byte(i)}
		parts := []*image.Partition{{Replicas: []int32{1}, ISR: []int32{1}}}
		img, _ = Apply(img, uint64(i), []Group{{CreateTopic{image.NewTopic(id, "default", fmt.Sprintf("topic-%d", i), false, nil, parts)}}}, image.NewChanges())
	}
	value := "1"
	change := []Group{{SetConfig{Resource: config.Resource{Type: config.TopicResource, Name: "topic-7"}, Values: map[string]*string{"retention.ms": &value}}}}
	allocations := testing.AllocsPerRun(100, func() { Apply(img, 5000, change, image.NewChanges()) })
	if allocations > 200 {
		t.Errorf("one setting among 2000 topics takes %.0f allocations", allocations)
	}
}

func FuzzDecode(f *testing.F) {
	value := "v"
	f.Add(Encode([]Group{{NameCluster{"c"}, SetFeature{"f", 1}}, {DeleteTopic{topicID(1)}}}))
	f.Add(Encode([]Group{{CreateTopic{image.NewTopic(topicID(1), "default", "a", false, map[string]string{"k": "v"}, []*image.Partition{{Replicas: []int32{1, 2}, ISR: []int32{1}}})}}}))
	f.Add(Encode([]Group{{SetConfig{config.Resource{Type: 4, Name: "1"}, map[string]*string{"a": nil, "b": &value}}, TakeProducerIDs{1, 0, 1000}}}))
	f.Add(Encode([]Group{{RegisterBroker{Broker: &image.Broker{ID: 1, Listeners: []image.Listener{{Name: "P", Host: "h", Port: 1}}}}, ChangeBroker{ID: 1, Epoch: 1, Fenced: true, Directories: [][16]byte{{1}}}, RemoveBroker{1}}}))
	f.Add(Encode([]Group{{ChangePartitions{topicID(1), []PartitionChange{{State: &image.Partition{ELR: []int32{3}}}}}, AddPartitions{topicID(1), 1, []*image.Partition{{}}}}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		groups, err := Decode(p)
		if err != nil {
			return
		}
		entry := Encode(groups)
		again, err := Decode(entry)
		if err != nil || !bytes.Equal(Encode(again), entry) {
			t.Fatalf("what was decoded does not survive: %v", err)
		}
		img, _ := Apply(image.Empty(), 1, groups, image.NewChanges())
		if restored, err := image.Restore(img.Snapshot()); err != nil || !bytes.Equal(restored.Snapshot(), img.Snapshot()) {
			t.Fatalf("the image does not survive a snapshot: %v", err)
		}
	})
}
