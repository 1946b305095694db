package replica

import (
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/vfs"
)

// The disk of one of two directories is full: all partitions in it are irregular, and only those; what is new goes into the
// other one.
func TestPartitionsOfAFullDirectory(t *testing.T) {
	full := vfs.NewFaulty(vfs.NewMemory(), func(op vfs.Op) error {
		if op.Kind == vfs.OpWrite && op.SizeBytes > 10_000 {
			return syscall.ENOSPC
		}
		return nil
	})
	c := newCluster(t, full, vfs.NewMemory())
	c.create("orders", 4, nil)
	var there []*Partition
	for number := range int32(4) {
		p := c.partition("orders", number)
		c.append(p, "x")
		if p.Directory() == c.dirs[0] {
			there = append(there, p)
		}
	}
	if len(there) != 2 || len(c.Irregular()) != 0 {
		t.Fatalf("%d of 4 partitions are in the first directory, %d irregular", len(there), len(c.Irregular()))
	}
	entries := []log.Entry{entry(t, string(make([]byte, 20_000)))}
	if _, err := there[0].Append(entries, 1, log.OriginClient, AnyEpoch); !errors.Is(err, log.ErrNoSpace) {
		t.Fatalf("append to a full disk: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); len(c.Irregular()) != 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d partitions are irregular, want the 2 of the full directory", len(c.Irregular()))
		}
	}
	for _, p := range c.Irregular() {
		if !p.Full() || p.Offline() || p.Directory() != c.dirs[0] {
			t.Errorf("partition %d: full %v, offline %v", p.Number, p.Full(), p.Offline())
		}
	}
	c.append(there[0], "y") // nothing stands in the way of what the disk takes
	c.create("new", 4, nil)
	for number := range int32(4) {
		p := c.partition("new", number)
		c.append(p, "x")
		if p.Full() || p.Directory() != c.dirs[1] {
			t.Errorf("partition %d of a new topic is in the full directory", number)
		}
	}
}
