package replica

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// nobody are other brokers that do not answer.
type nobody struct{}

func (nobody) Dial(ctx context.Context, _ int32) (Leader, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (nobody) Do(ctx context.Context, _ int32, _ kmsg.Request) (kmsg.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (nobody) AlterPartition(ctx context.Context, _ *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// What it costs a broker that another one stops which has ten thousand replicas with it: each leaves an in-sync set, and a
// third of the leaderships move.
func BenchmarkApplyShutDownOfABrokerWithTenThousandPartitions(b *testing.B) {
	dir, err := log.OpenDir(log.DirConfig{Path: "/data", FS: vfs.NewMemory(), Clock: time.Now, Logger: slog.New(slog.DiscardHandler), ClusterID: "c", NodeID: 1})
	if err != nil {
		b.Fatal(err)
	}
	m, err := New(Config{NodeID: 1, Dirs: []*log.Dir{dir}, Settings: config.NewResolver(1, nil), Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
		Cluster: Cluster{Leaders: nobody{}, Controller: nobody{}}})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		m.Close()
		_ = dir.Close()
	}()
	images := [2]*image.Image{}
	for stopped := range images {
		e := image.Empty().Edit(uint64(stopped + 1))
		for id := int32(1); id <= 3; id++ {
			if err := e.PutBroker(&image.Broker{ID: id, InControlledShutdown: id == 2 && stopped == 1}); err != nil {
				b.Fatal(err)
			}
		}
		for i := range 10 {
			parts := make([]*image.Partition, 1000)
			for j := range parts {
				replicas := []int32{1 + int32(j%3), 1 + int32((j+1)%3), 1 + int32((j+2)%3)}
				p := &image.Partition{Replicas: replicas, ISR: replicas, Leader: replicas[0]}
				if stopped == 1 {
					p.PartitionEpoch, p.ISR = 1, []int32{1, 3}
					if p.Leader == 2 {
						p.Leader, p.LeaderEpoch = 1+int32(j%2)*2, 1
					}
				}
				parts[j] = p
			}
			if err := e.CreateTopic(image.NewTopic(image.TopicID{byte(i + 1)}, security.DefaultTenant, fmt.Sprint("t", i), false, nil, parts)); err != nil {
				b.Fatal(err)
			}
		}
		images[stopped], _ = e.Done()
	}
	m.Apply(image.Difference(image.Empty(), images[0]))
	there, back := image.Difference(images[0], images[1]), image.Difference(images[1], images[0])
	b.ReportAllocs()
	for b.Loop() {
		m.Apply(there)
		m.Apply(back)
	}
}
