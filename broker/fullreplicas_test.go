package broker

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// fullTopic makes an image of three brokers with a topic of one partition; change makes of it what a test wants.
func fullTopic(t *testing.T, fenced int32, change func(*image.Partition)) *image.Image {
	t.Helper()
	p := &image.Partition{Replicas: []int32{1, 2, 3}, ISR: []int32{1, 2}, Leader: 1}
	change(p)
	e := image.Empty().Edit(1)
	for id := int32(1); id <= 3; id++ {
		if err := e.PutBroker(&image.Broker{ID: id, Incarnation: [16]byte{byte(id)}, Fenced: id == fenced}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.CreateTopic(image.NewTopic(image.TopicID{1}, security.DefaultTenant, "t", false, nil, []*image.Partition{p})); err != nil {
		t.Fatal(err)
	}
	img, _ := e.Done()
	return img
}

// Of a replica on a full disk the controller is told while somebody else is in sync who can lead, once, and that it can be
// used again once there is room; or before, where nobody leads: then what is there can be read.
func TestReplicasOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refuses atomic.Bool
		fs := vfs.NewFaulty(vfs.NewMemory(), func(op vfs.Op) error {
			if op.Kind == vfs.OpWrite && refuses.Load() {
				return syscall.ENOSPC
			}
			return nil
		})
		dir, err := log.OpenDir(log.DirConfig{Path: "/data", FS: fs, Clock: time.Now, Logger: slog.New(slog.DiscardHandler), ClusterID: "c", NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		replicas, err := replica.New(replica.Config{NodeID: 1, Dirs: []*log.Dir{dir}, Settings: config.NewResolver(1, nil),
			Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		img := fullTopic(t, 0, func(*image.Partition) {})
		replicas.Apply(image.Difference(image.Empty(), img))
		told := func(fenced int32, change func(*image.Partition)) (id [16]byte, tell bool) {
			t.Helper()
			img := fullTopic(t, fenced, change)
			l := newLostReplicas(lostReplicas{nodeID: 1, irregular: replicas.Partitions, image: func() *image.Image { return img }, epoch: func() int64 { return 7 }})
			request, untold := l.request()
			if untold == 0 {
				return id, false
			}
			return request.Directories[0].ID, true
		}
		lost := func(p *image.Partition) { p.Directories = [][16]byte{image.LostDirectory(), {}, {}} }
		cases := []struct {
			name       string
			fenced     int32
			change     func(*image.Partition)
			full, room [16]byte // what is told while the disk is full, and with room; zero: nothing
		}{
			{"leads, with another in sync", 0, func(*image.Partition) {}, image.FullDirectory(), [16]byte{}},
			{"follows", 0, func(p *image.Partition) { p.Leader = 2 }, image.FullDirectory(), [16]byte{}},
			{"is in sync alone", 0, func(p *image.Partition) { p.ISR = []int32{1} }, [16]byte{}, [16]byte{}},
			{"the other one is fenced", 2, func(*image.Partition) {}, [16]byte{}, [16]byte{}},
			{"the other one is lost", 0, func(p *image.Partition) { p.Directories = [][16]byte{{}, image.LostDirectory(), {}} }, [16]byte{}, [16]byte{}},
			{"is not in sync", 0, func(p *image.Partition) { p.ISR, p.Leader = []int32{2}, 2 }, [16]byte{}, [16]byte{}},
			{"is known to be lost", 0, func(p *image.Partition) { p.ISR, p.Leader = []int32{2}, 2; lost(p) }, [16]byte{}, dir.ID()},
			{"is lost where nobody leads", 0, func(p *image.Partition) { p.ISR, p.ELR, p.Leader = nil, []int32{1}, -1; lost(p) }, dir.ID(), dir.ID()},
			{"has no replica", 0, func(p *image.Partition) { p.Replicas, p.ISR, p.Leader = []int32{2, 3}, []int32{2}, 2 }, [16]byte{}, [16]byte{}},
		}
		check := func(when string, full bool) {
			t.Helper()
			for _, tc := range cases {
				want := tc.room
				if full {
					want = tc.full
				}
				if id, tell := told(tc.fenced, tc.change); id != want || tell != (want != [16]byte{}) {
					t.Errorf("%s, %s: told %v, want %v", when, tc.name, id, want)
				}
			}
		}
		produce := func() error {
			b := record.NewBuilder(record.BuilderOptions{})
			b.Append(0, nil, []byte("x"), nil)
			batch, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			_, err = replicas.Partitions()[0].Append([]log.Entry{{Batch: batch}}, 1, log.OriginClient, replica.AnyEpoch)
			return err
		}
		check("before the first write", false)
		refuses.Store(true)
		if err := produce(); !errors.Is(err, log.ErrNoSpace) {
			t.Fatalf("append to a full disk: %v", err)
		}
		check("on a full disk", true)
		time.Sleep(time.Hour)
		check("on a disk that stays full", true)
		changed := dir.RoomChanged()
		refuses.Store(false)
		<-changed
		check("with room again", false)
		if err := produce(); err != nil {
			t.Errorf("append with room again: %v", err)
		}
		replicas.Close()
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
}
