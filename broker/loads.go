package broker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// loads finds out what the brokers' replicas weigh, for the controller to balance them by. Traffic is how much a replica has
// grown since it was asked for the time before.
type loads struct {
	ask   func(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error)
	image func() *image.Image

	mu     sync.Mutex
	before map[controller.PartitionID]measured // guarded by mu
}

// measured is the size of a partition at a moment.
type measured struct {
	bytes int64
	at    time.Time
}

func newLoads(ask func(context.Context, int32, kmsg.Request) (kmsg.Response, error), img func() *image.Image) *loads {
	return &loads{ask: ask, image: img, before: map[controller.PartitionID]measured{}}
}

// of asks every broker that is there, all at once. Whoever does not answer is in the error.
func (l *loads) of(ctx context.Context) ([]controller.BrokerLoad, error) {
	img := l.image()
	var brokers []int32
	for b := range img.Brokers() {
		if !b.Fenced {
			brokers = append(brokers, b.ID)
		}
	}
	found, faults := make([]controller.BrokerLoad, len(brokers)), make([]error, len(brokers))
	var asking sync.WaitGroup
	for i, id := range brokers {
		asking.Go(func() { found[i], faults[i] = l.ofBroker(ctx, img, id) })
	}
	asking.Wait()
	l.addTraffic(found, time.Now())
	return found, errors.Join(faults...)
}

func (l *loads) ofBroker(ctx context.Context, img *image.Image, id int32) (controller.BrokerLoad, error) {
	load := controller.BrokerLoad{BrokerID: id, Partitions: map[controller.PartitionID]controller.Load{}}
	request := kmsg.NewPtrDescribeLogDirsRequest()
	request.Version = 4
	response, err := l.ask(ctx, id, request)
	if err != nil {
		return load, fmt.Errorf("ask broker %d for its load: %w", id, err)
	}
	answer, ok := response.(*kmsg.DescribeLogDirsResponse)
	if !ok {
		return load, fmt.Errorf("ask broker %d for its load: answered by a %T", id, response)
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return load, fmt.Errorf("ask broker %d for its load: %w", id, err)
	}
	for _, dir := range answer.Dirs {
		for _, named := range dir.Topics {
			t := img.Topic(coordinator.SplitName(named.Topic)) // brokers qualify names to each other
			if t == nil {
				continue
			}
			for _, p := range named.Partitions {
				load.Partitions[controller.PartitionID{TopicID: t.ID, Partition: p.Partition}] = controller.Load{Bytes: p.Size}
			}
		}
	}
	return load, nil
}

// addTraffic compares the largest replica of each partition with what it was before, which is forgotten.
func (l *loads) addTraffic(found []controller.BrokerLoad, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sizes := map[controller.PartitionID]measured{}
	for _, broker := range found {
		for id, load := range broker.Partitions {
			sizes[id] = measured{max(sizes[id].bytes, load.Bytes), now}
		}
	}
	for _, broker := range found {
		for id, load := range broker.Partitions {
			if before, known := l.before[id]; known && now.After(before.at) {
				load.BytesPerSecond = float64(max(sizes[id].bytes-before.bytes, 0)) / now.Sub(before.at).Seconds()
				broker.Partitions[id] = load
			}
		}
	}
	l.before = sizes
}
