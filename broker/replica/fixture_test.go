package replica

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster is a manager whose image the test edits. It can be stopped and started on the same files.
type cluster struct {
	t       *testing.T
	fs      []vfs.FS // one for each log directory
	dirs    []*log.Dir
	missing bool
	image   *image.Image
	index   uint64
	*Manager
}

func newCluster(t *testing.T, fs ...vfs.FS) *cluster {
	if len(fs) == 0 {
		fs = []vfs.FS{vfs.NewMemory()}
	}
	c := &cluster{t: t, fs: fs, image: image.Empty()}
	c.start()
	t.Cleanup(func() { c.stop() })
	return c
}

func (c *cluster) start() {
	c.t.Helper()
	if err := c.tryStart(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) tryStart() error {
	logger := slog.New(slog.DiscardHandler)
	c.dirs = nil
	for i, fs := range c.fs {
		if fs == nil {
			continue
		}
		dir, err := log.OpenDir(log.DirConfig{Path: fmt.Sprint("/data", i), FS: fs, Clock: time.Now, Logger: logger, ClusterID: "c", NodeID: 1})
		if err != nil {
			return err
		}
		c.dirs = append(c.dirs, dir)
	}
	manager, err := New(Config{NodeID: 1, Dirs: c.dirs, MissingDirs: c.missing, CleanerInterval: 5 * time.Millisecond, Settings: config.NewResolver(1, nil), Clock: time.Now, Logger: logger})
	if err != nil {
		for _, dir := range c.dirs {
			_ = dir.Close()
		}
		return err
	}
	c.Manager = manager
	c.Apply(image.Difference(image.Empty(), c.image))
	return nil
}

func (c *cluster) stop() {
	if c.Manager == nil {
		return
	}
	c.Manager.Close()
	for _, dir := range c.dirs {
		_ = dir.Close()
	}
	c.Manager = nil
}

func (c *cluster) edit(change func(*image.Edit) error) {
	c.t.Helper()
	c.index++
	edit := c.image.Edit(c.index)
	if err := change(edit); err != nil {
		c.t.Fatal(err)
	}
	next, changes := edit.Done()
	delta := changes.Delta(c.image, next)
	c.image = next
	c.Apply(delta)
}

func (c *cluster) create(name string, partitions int, settings map[string]string) image.TopicID {
	c.t.Helper()
	var id image.TopicID
	copy(id[:], fmt.Sprintf("%-16s", fmt.Sprint(name, c.index)))
	var parts []*image.Partition
	for range partitions {
		parts = append(parts, &image.Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1, LeaderEpoch: 1})
	}
	c.edit(func(e *image.Edit) error {
		return e.CreateTopic(image.NewTopic(id, security.DefaultTenant, name, false, settings, parts))
	})
	return id
}

func (c *cluster) partition(name string, number int32) *Partition {
	c.t.Helper()
	p, err := c.ByName(security.DefaultTenant, name, number)
	if err != nil {
		c.t.Fatalf("partition %s-%d: %v", name, number, err)
	}
	return p
}

func entry(t testing.TB, values ...string) log.Entry {
	t.Helper()
	b := record.NewBuilder(record.BuilderOptions{})
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v), nil)
	}
	built, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return log.Entry{Batch: built}
}

// append appends one record and waits until it is committed.
func (c *cluster) append(p *Partition, value string) int64 {
	c.t.Helper()
	entries := []log.Entry{entry(c.t, value)}
	if _, err := p.Append(entries, AcksAll, log.OriginClient, AnyEpoch); err != nil {
		c.t.Fatal(err)
	}
	if entries[0].Err != nil {
		c.t.Fatal(entries[0].Err)
	}
	c.await(p, entries[0].LastOffset+1)
	return entries[0].BaseOffset
}

func (c *cluster) await(p *Partition, offset int64) {
	c.t.Helper()
	w := NewWaiter()
	if p.AwaitOffset(offset, 1, w) {
		select {
		case <-w.C:
		case <-time.After(10 * time.Second):
			c.t.Fatalf("%s: high watermark %d does not reach %d", p.Name(), p.HighWatermark(), offset)
		}
	}
}
