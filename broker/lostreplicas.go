package broker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
)

const (
	// maxLostPerRequest is Kafka's bound on the replicas in one request (AssignmentsManager).
	maxLostPerRequest = 2250
	// lostRetry is the pause between two attempts, and between an answer and the look whether the image says so.
	lostRetry = 100 * time.Millisecond
)

// lostReplicas tells the controller which replicas this broker cannot use, because their log directory failed or their
// log is damaged, so that others lead those partitions (AssignReplicasToDirs, KIP-858). What the image does not say yet is
// told again and again: an answer that was lost and a controller that is new need nothing of their own.
type lostReplicas struct {
	nodeID  int32
	offline func() []*replica.Partition
	image   func() *image.Image
	epoch   func() int64 // of this broker's registration, -1 before it
	ask     func(ctx context.Context, request *kmsg.AssignReplicasToDirsRequest) (*kmsg.AssignReplicasToDirsResponse, error)
	logger  *slog.Logger
	woken   chan struct{} // a token when there may be something to tell
}

// wake makes it look now. It does not wait.
func (l *lostReplicas) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// run tells until ctx ends.
func (l *lostReplicas) run(ctx context.Context) {
	told := 0 // untold replicas at the last look, so that it is logged once
	for {
		var again <-chan time.Time
		if request, untold := l.request(); untold > 0 {
			if err := l.tell(ctx, request); err != nil && ctx.Err() == nil && untold != told {
				l.logger.Warn("the controller does not know yet that replicas are offline, trying again", "replicas", untold, "error", oneLine(err))
			}
			told, again = untold, time.After(lostRetry)
		} else {
			told = 0
		}
		select {
		case <-l.woken:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// request names the replicas that cannot be used and that the image does not call lost, as many as go into one request.
func (l *lostReplicas) request() (r *kmsg.AssignReplicasToDirsRequest, untold int) {
	epoch, img := l.epoch(), l.image()
	if epoch < 0 {
		return nil, 0 // the registration wakes it
	}
	r = kmsg.NewPtrAssignReplicasToDirsRequest()
	r.BrokerID, r.BrokerEpoch = l.nodeID, epoch
	directory := kmsg.AssignReplicasToDirsRequestDirectory{ID: image.LostDirectory()}
	at := map[image.TopicID]int{}
	for _, p := range l.offline() {
		t := img.TopicByID(p.Topic.ID)
		if t == nil || t.Partition(p.Number) == nil || !holds(t.Partition(p.Number), l.nodeID) {
			continue
		}
		if untold++; untold > maxLostPerRequest {
			continue
		}
		i, known := at[t.ID]
		if !known {
			i = len(directory.Topics)
			at[t.ID] = i
			directory.Topics = append(directory.Topics, kmsg.AssignReplicasToDirsRequestDirectoryTopic{TopicID: t.ID})
		}
		topic := &directory.Topics[i]
		topic.Partitions = append(topic.Partitions, kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{Partition: p.Number})
	}
	r.Directories = append(r.Directories, directory)
	return r, untold
}

// holds reports whether an image counts on a broker's replica.
func holds(p *image.Partition, broker int32) bool {
	for _, id := range p.Replicas {
		if id == broker {
			return !p.Lost(broker)
		}
	}
	return false
}

func (l *lostReplicas) tell(ctx context.Context, request *kmsg.AssignReplicasToDirsRequest) error {
	ctx, cancel := context.WithTimeout(ctx, lostPatience)
	defer cancel()
	answer, err := l.ask(ctx, request)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return err
	}
	for _, d := range answer.Directories {
		for _, t := range d.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("topic %s partition %d: %w", image.TopicID(t.TopicID), p.Partition, err)
				}
			}
		}
	}
	return nil
}

// lostPatience bounds one attempt.
const lostPatience = 5 * time.Second
