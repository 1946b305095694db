package replica

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// A leader that was deposed and does not hear of it appends nothing, and who waits for a commit is told that another leads.
func TestDeposedLeader(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	dir, err := log.OpenDir(log.DirConfig{Path: "/data", FS: vfs.NewMemory(), Clock: time.Now, Logger: logger, ClusterID: "c", NodeID: 1})
	if err != nil {
		t.Fatal(err)
	}
	var deposed atomic.Bool
	m, err := New(Config{NodeID: 1, Dirs: []*log.Dir{dir}, Settings: config.NewResolver(1, nil), Clock: time.Now, Logger: logger,
		Cluster: Cluster{Deposed: deposed.Load}})
	if err != nil {
		t.Fatal(err)
	}
	edit := image.Empty().Edit(1)
	topic := image.NewTopic(image.TopicID{1}, security.DefaultTenant, "t", false, nil, []*image.Partition{
		{Replicas: []int32{1, 2}, ISR: []int32{1, 2}, Leader: 1, LeaderEpoch: 1}})
	if err := edit.CreateTopic(topic); err != nil {
		t.Fatal(err)
	}
	img, _ := edit.Done()
	m.Apply(image.Difference(image.Empty(), img))
	p, refusal := m.ByName(security.DefaultTenant, "t", 0)
	if refusal != nil {
		t.Fatal(refusal)
	}
	entries := []log.Entry{entry(t, "x")}
	epoch, err := p.Append(entries, AcksAll, log.OriginClient, AnyEpoch)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWaiter()
	if !p.AwaitOffset(1, epoch, w) {
		t.Fatal("nothing to wait for though a follower lacks the record")
	}
	m.Deposed()
	select {
	case <-w.C:
		t.Fatal("woken by a leader that leads")
	default:
	}
	deposed.Store(true)
	m.Deposed()
	<-w.C
	if err := p.Committed(1, epoch); !errors.Is(err, kerr.NotLeaderForPartition) {
		t.Errorf("of what was appended before it says %v", err)
	}
	for _, acks := range []int16{AcksAll, 1} {
		if _, err := p.Append([]log.Entry{entry(t, "y")}, acks, log.OriginClient, AnyEpoch); !errors.Is(err, kerr.NotLeaderForPartition) {
			t.Errorf("acks %d: append by a deposed leader: %v", acks, err)
		}
	}
	deposed.Store(false)
	if _, err := p.Append([]log.Entry{entry(t, "y")}, AcksAll, log.OriginClient, AnyEpoch); err != nil || p.LogEndOffset() != 2 {
		t.Errorf("append by a leader that is one again: %v, the log ends at %d", err, p.LogEndOffset())
	}
	m.Close()
	if err := dir.Close(); err != nil {
		t.Error(err)
	}
}
