package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strconv"
	"testing"

	"github.com/millrace-io/millrace/metadata/config"
)

// sample is an image with something of everything.
func sample(t testing.TB) *Image {
	t.Helper()
	e := Empty().Edit(42)
	value := "1000"
	parts := make([]*Partition, 100)
	for i := range parts {
		parts[i] = &Partition{Replicas: []int32{1, 2}, ISR: []int32{1}, Leader: 1, LeaderEpoch: int32(i)}
	}
	parts[7].ELR, parts[7].Directories = []int32{2}, [][16]byte{{1}, {2}}
	parts[7].RecoveryState, parts[7].Mover = Recovering, ByBalance
	for _, err := range []error{
		e.SetClusterID("cluster"),
		e.SetFeature("metadata.version", 30),
		e.PutBroker(&Broker{ID: 1, Incarnation: [16]byte{9}, Epoch: 5, Rack: "a", Listeners: []Listener{{"PLAINTEXT", "localhost", 9092, "PLAINTEXT"}}, Directories: [][16]byte{{3}}}),
		e.SetConfig(config.Resource{Type: config.BrokerResource}, map[string]*string{"log.retention.ms": &value}),
		e.SetConfig(config.Resource{Type: config.GroupResource, Tenant: "t", Name: "g"}, map[string]*string{"x": &value}),
		e.CreateTopic(NewTopic(TopicID{1}, "default", "orders.eu", false, map[string]string{"retention.ms": "1"}, parts)),
		e.CreateTopic(NewTopic(TopicID{2}, "tenant", "orders.eu", true, nil, parts[:1])),
		e.TakeProducerIDs(0, 1000),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	img, _ := e.Done()
	return img
}

func TestSnapshotHoldsEverything(t *testing.T) {
	img := sample(t)
	restored, err := Restore(img.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(restored.Snapshot(), img.Snapshot()) {
		t.Error("the restored image has another snapshot")
	}
	if restored.Index() != 42 || restored.ClusterID() != "cluster" || restored.NextProducerID() != 1000 || restored.Features()["metadata.version"] != 30 {
		t.Errorf("restored %+v", restored)
	}
	if p := restored.Topic("default", "orders.eu").Partition(7); p.LeaderEpoch != 7 || len(p.ELR) != 1 || len(p.Directories) != 2 || len(p.ISR) != 1 || p.RecoveryState != Recovering || p.Mover != ByBalance {
		t.Errorf("partition 7 is %+v", p)
	}
	if restored.ConfigOverrides(config.Resource{Type: config.GroupResource, Tenant: "t", Name: "g"})["x"] != "1000" {
		t.Error("the group's settings are gone")
	}
	if got := restored.CollidingTopic("default", "orders_eu"); got != "orders.eu" {
		t.Errorf("orders_eu collides with %q", got)
	}
	if got := restored.CollidingTopic("third", "orders_eu"); got != "" {
		t.Errorf("a tenant's name collides with another tenant's %q", got)
	}
}

func TestRestoreRefusesEveryDamagedByte(t *testing.T) {
	whole := sample(t).Snapshot()
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x20
		if _, err := Restore(damaged); !errors.Is(err, ErrMalformed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	for i := range whole {
		if _, err := Restore(whole[:i]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut after %d bytes: %v", i, err)
		}
	}
}

func TestRestoreNamesTheNewerFormat(t *testing.T) {
	p := sample(t).Snapshot()
	p[len(snapshotMagic)] = snapshotVersion + 1
	binary.LittleEndian.PutUint32(p[len(p)-4:], crc32.Checksum(p[:len(p)-4], castagnoli))
	var newer *NewerFormatError
	if _, err := Restore(p); !errors.As(err, &newer) || newer.Version != snapshotVersion+1 {
		t.Errorf("restore of a newer version: %v", err)
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	img := sample(t)
	for topic := range img.Topics("tenant") {
		if topic.Tenant != "tenant" {
			t.Errorf("the walk of one tenant meets %s of %s", topic.Name, topic.Tenant)
		}
	}
	if img.Topic("tenant", "orders.eu").ID == img.Topic("default", "orders.eu").ID {
		t.Error("two tenants share a topic")
	}
	for range img.Topics("tena") {
		t.Error("a tenant whose name is a prefix of another's sees that one's topics")
	}
}

func TestPartitionsAreShared(t *testing.T) {
	img := sample(t)
	topic := img.Topic("default", "orders.eu")
	e := img.Edit(43)
	p := *topic.Partition(70)
	p.PartitionEpoch++
	if err := e.ChangePartitions(topic.ID, map[int32]*Partition{70: &p}); err != nil {
		t.Fatal(err)
	}
	next, changes := e.Done()
	d := changes.Delta(img, next)
	if len(d.Topics) != 1 || len(d.Topics[0].Partitions) != 1 || d.Topics[0].Partitions[0] != 70 {
		t.Errorf("the delta is %+v", d.Topics)
	}
	after := next.Topic("default", "orders.eu")
	if topic.Partition(70) == after.Partition(70) || topic.Partition(69) != after.Partition(69) || topic.partitions.chunks[0] != after.partitions.chunks[0] {
		t.Error("a change of one partition copied others, or changed the old image")
	}
}

func TestDeltaOfTopicMadeAgainUnderItsName(t *testing.T) {
	img := sample(t)
	old := img.Topic("default", "orders.eu")
	e := img.Edit(43)
	if err := e.DeleteTopic(old.ID); err != nil {
		t.Fatal(err)
	}
	if err := e.CreateTopic(NewTopic(TopicID{3}, "default", "orders.eu", false, nil, []*Partition{{}})); err != nil {
		t.Fatal(err)
	}
	next, changes := e.Done()
	d := changes.Delta(img, next)
	if len(d.Topics) != 2 || d.Topics[0].Before != old || d.Topics[0].After != nil || d.Topics[1].Before != nil || len(d.Topics[0].Partitions) != 100 {
		t.Errorf("want the old topic's end and then the new one's beginning, got %+v", d.Topics)
	}
}

func TestTopicIDText(t *testing.T) {
	id := TopicID{0xff, 15: 1}
	if got, err := ParseTopicID(id.String()); err != nil || got != id || len(id.String()) != 22 {
		t.Errorf("%s is read as %v, %v", id, got, err)
	}
	for _, bad := range []string{"", "abc", "AAAAAAAAAAAAAAAAAAAAA=", "AAAAAAAAAAAAAAAAAAAAAAAA"} {
		if _, err := ParseTopicID(bad); err == nil {
			t.Errorf("%q was read as a topic id", bad)
		}
	}
}

func FuzzRestore(f *testing.F) {
	f.Add(sample(f).Snapshot())
	f.Add(Empty().Snapshot())
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) > 4 { // most inputs would end at the checksum otherwise
			p = binary.LittleEndian.AppendUint32(bytes.Clone(p[:len(p)-4]), crc32.Checksum(p[:len(p)-4], castagnoli))
		}
		img, err := Restore(p)
		if err != nil {
			return
		}
		again, err := Restore(img.Snapshot())
		if err != nil || !bytes.Equal(again.Snapshot(), img.Snapshot()) {
			t.Fatalf("a restored image does not survive: %v", err)
		}
	})
}

func BenchmarkChangeOnePartitionOfTenThousand(b *testing.B) {
	parts := make([]*Partition, 10_000)
	for i := range parts {
		parts[i] = &Partition{Replicas: []int32{1}, ISR: []int32{1}}
	}
	e := Empty().Edit(1)
	for i := range 20 {
		if err := e.CreateTopic(NewTopic(TopicID{byte(i + 1)}, "default", strconv.Itoa(i), false, nil, parts[i*500:(i+1)*500])); err != nil {
			b.Fatal(err)
		}
	}
	img, _ := e.Done()
	change := map[int32]*Partition{77: {Replicas: []int32{1}, PartitionEpoch: 1}}
	b.ReportAllocs()
	for b.Loop() {
		e := img.Edit(2)
		if err := e.ChangePartitions(TopicID{3}, change); err != nil {
			b.Fatal(err)
		}
		e.Done()
	}
}
