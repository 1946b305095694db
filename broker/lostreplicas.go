package broker

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/image"
)

const (
	// maxLostPerRequest is Kafka's bound on the replicas in one request (AssignmentsManager).
	maxLostPerRequest = 2250
	// minLostPause and maxLostPause bound the pause before the same is told again. It doubles.
	minLostPause = 100 * time.Millisecond
	maxLostPause = 10 * time.Second
	// lostPatience bounds one attempt.
	lostPatience = 5 * time.Second
)

// lostReplicas tells the controller which replicas this broker cannot use, because their log directory failed or their
// log is damaged, so that others lead those partitions (AssignReplicasToDirs, KIP-858); which cannot grow, because their disk
// is full, as long as somebody else is in sync; which it does not have any more, because another disk is there now; and which
// of them it can use again, since it was started anew or there is room. What the image does not say yet is told again and
// again: an answer that was lost and a controller that is new need nothing of their own.
type lostReplicas struct {
	nodeID    int32
	irregular func() []*replica.Partition // who may have something to tell
	image     func() *image.Image
	epoch     func() int64 // of this broker's registration, -1 before it
	ask       func(ctx context.Context, request *kmsg.AssignReplicasToDirsRequest) (*kmsg.AssignReplicasToDirsResponse, error)
	settled   func() // called when everything has been told
	logger    *slog.Logger
	woken     chan struct{} // a token when there may be something to tell
	elected   chan struct{} // a token when another controller is there, which may not refuse
}

func newLostReplicas(l lostReplicas) *lostReplicas {
	l.woken, l.elected = make(chan struct{}, 1), make(chan struct{}, 1)
	return &l
}

// wake makes it look now. It does not wait.
func (l *lostReplicas) wake() { token(l.woken) }

// retry makes it tell now what there is to tell. It does not wait.
func (l *lostReplicas) retry() { token(l.elected) }

func token(to chan struct{}) {
	select {
	case to <- struct{}{}:
	default:
	}
}

// run tells until ctx ends. As long as the same is left to tell the pauses grow, whatever wakes it: a controller that refuses
// will go on to.
func (l *lostReplicas) run(ctx context.Context) {
	var (
		told  int           // was untold at the last attempt; 0: there was nothing
		pause time.Duration // after it
		due   time.Time     // when the same may be told again
		fault bool          // it was logged that the controller does not take it
	)
	for {
		var again <-chan time.Time
		request, untold := l.request()
		if untold == 0 {
			if told > 0 {
				l.settled()
			}
			told, pause, fault = 0, 0, false
		} else {
			if untold != told {
				pause, due = 0, time.Time{}
			}
			if !time.Now().Before(due) {
				err := l.tell(ctx, request)
				if err != nil && ctx.Err() == nil && !fault {
					l.logger.Warn("the controller does not know yet which replicas are lost here, trying again", "replicas", untold, "error", oneLine(err))
					fault = true
				}
				told, pause = untold, min(max(2*pause, minLostPause), maxLostPause)
				due = time.Now().Add(pause)
			}
			again = time.After(time.Until(due))
		}
		select {
		case <-l.woken:
		case <-l.elected:
			due = time.Time{}
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// untold is how many replicas the controller is yet to be told of.
func (l *lostReplicas) untold() int {
	_, untold := l.request()
	return untold
}

// request names the replicas of which the image does not say what is so, as many as go into one request.
func (l *lostReplicas) request() (r *kmsg.AssignReplicasToDirsRequest, untold int) {
	epoch, img := l.epoch(), l.image()
	if epoch < 0 {
		return nil, 0 // the registration wakes it
	}
	r = kmsg.NewPtrAssignReplicasToDirsRequest()
	r.BrokerID, r.BrokerEpoch = l.nodeID, epoch
	for _, p := range l.irregular() {
		t := img.TopicByID(p.Topic.ID)
		if t == nil {
			continue
		}
		directory, tell := l.directory(img, p, t.Partition(p.Number))
		if !tell {
			continue
		}
		if untold++; untold <= maxLostPerRequest {
			addReplica(r, directory, t.ID, p.Number)
		}
	}
	return r, untold
}

// directory is what is to be told of where a replica lies, if the image does not say it.
func (l *lostReplicas) directory(img *image.Image, p *replica.Partition, state *image.Partition) (id [16]byte, tell bool) {
	switch {
	case state == nil || !slices.Contains(state.Replicas, l.nodeID):
		return id, false
	case p.Gone():
		return image.GoneDirectory(), state.CountsOn(l.nodeID)
	case p.Offline():
		return image.LostDirectory(), !state.Lost(l.nodeID)
	}
	dir := p.Directory()
	switch {
	case dir == nil:
		return id, false
	case state.Lost(l.nodeID): // a full disk is better than nobody who leads: what is there can be read
		return dir.ID(), dir.Roomy() || state.Leader < 0
	}
	return image.FullDirectory(), dir.Full() && slices.Contains(state.ISR, l.nodeID) && img.OthersInSync(state, l.nodeID)
}

// addReplica names a replica in a request, below its directory and topic.
func addReplica(r *kmsg.AssignReplicasToDirsRequest, directory [16]byte, topic image.TopicID, partition int32) {
	d := 0
	for d < len(r.Directories) && r.Directories[d].ID != directory {
		d++
	}
	if d == len(r.Directories) {
		r.Directories = append(r.Directories, kmsg.AssignReplicasToDirsRequestDirectory{ID: directory})
	}
	topics := &r.Directories[d].Topics
	last := len(*topics) - 1 // partitions come topic by topic
	if last < 0 || (*topics)[last].TopicID != topic {
		*topics = append(*topics, kmsg.AssignReplicasToDirsRequestDirectoryTopic{TopicID: topic})
		last++
	}
	named := &(*topics)[last]
	named.Partitions = append(named.Partitions, kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{Partition: partition})
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
