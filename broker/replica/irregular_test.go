package replica

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// register writes a registration that has the directories of the present start.
func (c *cluster) register() {
	c.t.Helper()
	b := &image.Broker{ID: 1, Incarnation: [16]byte{1}}
	for _, dir := range c.dirs {
		b.Directories = append(b.Directories, dir.ID())
	}
	c.edit(func(e *image.Edit) error { return e.PutBroker(b) })
}

// change edits the state of one partition.
func (c *cluster) change(name string, number int32, how func(*image.Partition)) {
	c.t.Helper()
	t := c.image.Topic(security.DefaultTenant, name)
	p := *t.Partition(number)
	p.PartitionEpoch++
	how(&p)
	c.edit(func(e *image.Edit) error { return e.ChangePartitions(t.ID, map[int32]*image.Partition{number: &p}) })
}

// onAnotherDisk makes a topic of two partitions, one in each of two directories, and starts anew with the first directory
// empty. It returns the number of the partition that lay there.
func onAnotherDisk(c *cluster) (lost int32) {
	c.t.Helper()
	c.register()
	c.create("orders", 2, nil)
	for number := range int32(2) {
		c.append(c.partition("orders", number), "x")
	}
	if c.partition("orders", 1).Log().Dir() == c.dirs[0] {
		lost = 1
	}
	c.stop()
	c.fs[0] = vfs.NewMemory()
	return lost
}

// A directory is empty that was not: what lay in it is offline as long as the metadata counts on it, so that nobody takes an
// empty log for a full one, and begins anew when it does not any more.
func TestReplicaWhoseLogIsGoneBeginsAnew(t *testing.T) {
	c := newCluster(t, vfs.NewMemory(), vfs.NewMemory())
	lost := onAnotherDisk(c)
	c.start()
	if _, err := c.ByName(security.DefaultTenant, "orders", 1-lost); err != nil {
		t.Errorf("a partition of the other directory: %v", err)
	}
	if _, err := c.ByName(security.DefaultTenant, "orders", lost); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a partition of the emptied directory: %v, want KAFKA_STORAGE_ERROR", err)
	}
	irregular := c.Irregular()
	if len(irregular) != 1 || irregular[0].Number != lost || !irregular[0].Gone() || !irregular[0].Offline() {
		t.Fatalf("irregular are %v", irregular)
	}
	c.change("orders", lost, func(p *image.Partition) { p.ISR, p.ELR, p.Leader, p.LeaderEpoch = nil, []int32{1}, -1, 2 })
	if !irregular[0].Gone() {
		t.Fatal("it began anew though it is eligible to lead")
	}
	c.change("orders", lost, func(p *image.Partition) { p.ELR = nil })
	if irregular[0].Gone() || irregular[0].Offline() || len(c.Irregular()) != 0 {
		t.Fatal("nobody counts on it any more, and it does not begin anew")
	}
	c.change("orders", lost, func(p *image.Partition) { p.ISR, p.Leader, p.LeaderEpoch = []int32{1}, 1, 3 })
	if offset := c.append(c.partition("orders", lost), "y"); offset != 0 {
		t.Errorf("its first record has offset %d", offset)
	}
}

// What is said to be lost and is there is told of, so that it counts again; what is not there and said to be lost is gone,
// although no directory that the broker had is missing.
func TestReplicaThatIsCalledLost(t *testing.T) {
	for _, emptied := range []bool{false, true} {
		c := newCluster(t, vfs.NewMemory())
		c.create("orders", 1, nil)
		c.append(c.partition("orders", 0), "x")
		c.change("orders", 0, func(p *image.Partition) {
			p.ISR, p.ELR, p.Leader, p.LeaderEpoch, p.Directories = nil, []int32{1}, -1, 2, [][16]byte{image.LostDirectory()}
		})
		c.stop()
		if emptied {
			c.fs[0] = vfs.NewMemory()
		}
		c.start()
		irregular := c.Irregular()
		if len(irregular) != 1 || irregular[0].Gone() != emptied || irregular[0].Offline() != emptied {
			t.Errorf("emptied %v: irregular are %v", emptied, irregular)
		}
	}
}

// A partition in two directories is no choice to be made by chance: one of the logs is older than the other.
func TestPartitionInTwoDirectories(t *testing.T) {
	c := newCluster(t, vfs.NewMemory(), vfs.NewMemory())
	c.register()
	c.create("orders", 2, nil)
	for number := range int32(2) {
		c.append(c.partition("orders", number), "x")
	}
	c.stop()
	away := c.fs[0]
	c.fs[0] = nil
	c.start()
	for _, p := range c.Irregular() {
		c.change("orders", p.Number, func(p *image.Partition) { p.ISR, p.Leader = nil, -1 })
		c.change("orders", p.Number, func(p *image.Partition) { p.ISR, p.Leader, p.LeaderEpoch = []int32{1}, 1, 2 })
		c.append(c.partition("orders", p.Number), "y")
	}
	c.stop()
	c.fs[0] = away
	if err := c.tryStart(); err == nil || !strings.Contains(err.Error(), "two log directories") {
		t.Errorf("with a partition in two directories: %v", err)
	}
}
