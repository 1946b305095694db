package broker

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// refuser is a controller that answers with a code, and notes when it was asked and of how many replicas.
type refuser struct {
	mu      sync.Mutex
	code    int16
	asked   []time.Time
	named   int
	settled int
	img     *image.Image
}

func (r *refuser) ask(_ context.Context, request *kmsg.AssignReplicasToDirsRequest) (*kmsg.AssignReplicasToDirsResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked, r.named = append(r.asked, time.Now()), 0
	for _, d := range request.Directories {
		for _, t := range d.Topics {
			r.named += len(t.Partitions)
		}
	}
	answer := kmsg.NewPtrAssignReplicasToDirsResponse()
	answer.ErrorCode = r.code
	return answer, nil
}

func (r *refuser) image() *image.Image {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.img
}

func (r *refuser) times() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}

// lostTopic makes an image with a topic of broker 1, whose partitions are lost as the image says or not.
func lostTopic(t *testing.T, partitionCount int, known bool) *image.Image {
	t.Helper()
	var parts []*image.Partition
	for range partitionCount {
		p := &image.Partition{Replicas: []int32{1}, ISR: []int32{1}, Leader: 1}
		if known {
			p.ISR, p.Leader, p.Directories = nil, -1, [][16]byte{image.LostDirectory()}
		}
		parts = append(parts, p)
	}
	e := image.Empty().Edit(1)
	if err := e.CreateTopic(image.NewTopic(image.TopicID{1}, security.DefaultTenant, "t", false, nil, parts)); err != nil {
		t.Fatal(err)
	}
	img, _ := e.Done()
	return img
}

// A controller that refuses is asked less and less often, however often there is something to look at, and the log has one
// line of it; another controller is asked at once; and once the image says it all, that is told and nobody is asked.
func TestLostReplicasAreToldWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, err := log.OpenDir(log.DirConfig{Path: "/data", FS: vfs.NewMemory(), Clock: time.Now, Logger: slog.New(slog.DiscardHandler), ClusterID: "c", NodeID: 1})
		if err != nil {
			t.Fatal(err)
		}
		replicas, err := replica.New(replica.Config{NodeID: 1, Dirs: []*log.Dir{dir}, MissingDirs: true, Settings: config.NewResolver(1, nil),
			Clock: time.Now, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		controller := &refuser{code: kerr.UnknownServerError.Code, img: lostTopic(t, 3, false)}
		replicas.Apply(image.Difference(image.Empty(), controller.img))

		var logged bytes.Buffer
		lost := newLostReplicas(lostReplicas{
			nodeID: 1, irregular: replicas.Irregular, image: controller.image, epoch: func() int64 { return 7 }, ask: controller.ask,
			settled: func() { controller.settled++ }, logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { lost.run(ctx) })

		for range 6000 { // ten minutes in which the metadata changes all the time
			lost.wake()
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		asked := controller.times()
		if len(asked) < 10*6 || len(asked) > 80 {
			t.Errorf("a controller that refuses was asked %d times in ten minutes, want once in %v in the end", len(asked), maxLostPause)
		}
		if controller.named != 3 || lost.untold() != 3 {
			t.Errorf("it was told of %d replicas, and %d are untold", controller.named, lost.untold())
		}
		if lines := bytes.Count(logged.Bytes(), []byte("\n")); lines != 1 {
			t.Errorf("the log has %d lines of it:\n%s", lines, logged.String())
		}

		lost.retry()
		synctest.Wait()
		if now := controller.times(); len(now) != len(asked)+1 {
			t.Errorf("a new controller was asked %d times", len(now)-len(asked))
		}

		controller.mu.Lock()
		controller.img = lostTopic(t, 3, true)
		controller.mu.Unlock()
		lost.wake()
		synctest.Wait()
		before := len(controller.times())
		time.Sleep(time.Minute)
		if controller.settled != 1 || len(controller.times()) != before || lost.untold() != 0 {
			t.Errorf("with everything told: settled %d times, asked %d times more, %d untold", controller.settled, len(controller.times())-before, lost.untold())
		}
		cancel()
		running.Wait()
		replicas.Close()
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
}
