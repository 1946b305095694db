package state

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/share/delivery"
)

const (
	minRetryPause = 20 * time.Millisecond
	maxRetryPause = time.Second
)

// ClientConfig is how a Client finds coordinators.
type ClientConfig struct {
	NodeID  int32
	Service *Service // of this broker
	// Leader is the broker that leads a partition of __share_group_state. It has the topic created where there is none, and
	// says false while nobody leads.
	Leader func(ctx context.Context, k Key) (nodeID int32, ok bool)
	// Ask sends a request to another broker.
	Ask func(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error)
}

// Client asks the coordinators of share partitions, wherever they are, until ctx ends: what it asks may be asked again.
type Client struct{ cfg ClientConfig }

// NewClient makes a client.
func NewClient(cfg ClientConfig) *Client { return &Client{cfg} }

// State is where a share partition is.
type State struct {
	StateEpoch int32
	Start      int64 // -1: nobody has decided yet where to begin
	Batches    []delivery.Batch
}

// Summary is what people are told of a share partition.
type Summary struct {
	Known       bool
	LeaderEpoch int32
	StateEpoch  int32
	Start       int64 // -1: unknown
	Through     int32 // -1: unknown
}

// Initial is how a share partition begins.
type Initial struct {
	Key        Key
	StateEpoch int32
	Start      int64 // -1: the leader decides when the first record is asked for
}

// Read tells a leader where its share partition is; from then on leaders of earlier epochs cannot write.
func (c *Client) Read(ctx context.Context, k Key, leaderEpoch int32) (State, error) {
	request := kmsg.NewPtrReadShareGroupStateRequest()
	request.GroupID = k.Group
	p := kmsg.NewReadShareGroupStateRequestTopicPartition()
	p.Partition, p.LeaderEpoch = k.Partition, leaderEpoch
	request.Topics = []kmsg.ReadShareGroupStateRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.ReadShareGroupStateRequestTopicPartition{p}}}
	var state State
	err := c.retry(ctx, k, request, func(r kmsg.Response) error {
		topics := r.(*kmsg.ReadShareGroupStateResponse).Topics
		if len(topics) != 1 || len(topics[0].Partitions) != 1 {
			return errNoAnswer
		}
		told := topics[0].Partitions[0]
		state = State{StateEpoch: told.StateEpoch, Start: told.StartOffset}
		for _, b := range told.StateBatches {
			state.Batches = append(state.Batches, delivery.Batch{First: b.FirstOffset, Last: b.LastOffset, State: delivery.State(b.DeliveryState), Count: b.DeliveryCount})
		}
		return kerr.ErrorForCode(told.ErrorCode)
	})
	return state, err
}

// Write notes what a leader has decided. It returns once that is safe.
func (c *Client) Write(ctx context.Context, k Key, stateEpoch, leaderEpoch int32, w delivery.Write) error {
	request := kmsg.NewPtrWriteShareGroupStateRequest()
	request.Version, request.GroupID = 1, k.Group
	p := kmsg.NewWriteShareGroupStateRequestTopicPartition()
	p.Partition, p.StateEpoch, p.LeaderEpoch, p.StartOffset, p.DeliveryCompleteCount = k.Partition, stateEpoch, leaderEpoch, w.Start, int32(w.Through)
	for _, b := range w.Batches {
		batch := kmsg.NewWriteShareGroupStateRequestTopicPartitionStateBatch()
		batch.FirstOffset, batch.LastOffset, batch.DeliveryState, batch.DeliveryCount = b.First, b.Last, int8(b.State), b.Count
		p.StateBatches = append(p.StateBatches, batch)
	}
	request.Topics = []kmsg.WriteShareGroupStateRequestTopic{{TopicID: k.Topic, Partitions: []kmsg.WriteShareGroupStateRequestTopicPartition{p}}}
	return c.retry(ctx, k, request, func(r kmsg.Response) error {
		topics := r.(*kmsg.WriteShareGroupStateResponse).Topics
		if len(topics) != 1 || len(topics[0].Partitions) != 1 {
			return errNoAnswer
		}
		return kerr.ErrorForCode(topics[0].Partitions[0].ErrorCode)
	})
}

// Initialize makes share partitions begin; the errors are in the order of what is asked.
func (c *Client) Initialize(ctx context.Context, all []Initial) []error {
	return c.each(len(all), func(i int) error {
		request := kmsg.NewPtrInitializeShareGroupStateRequest()
		request.GroupID = all[i].Key.Group
		p := kmsg.NewInitializeShareGroupStateRequestTopicPartition()
		p.Partition, p.StateEpoch, p.StartOffset = all[i].Key.Partition, all[i].StateEpoch, all[i].Start
		request.Topics = []kmsg.InitializeShareGroupStateRequestTopic{{TopicID: all[i].Key.Topic, Partitions: []kmsg.InitializeShareGroupStateRequestTopicPartition{p}}}
		return c.retry(ctx, all[i].Key, request, func(r kmsg.Response) error {
			topics := r.(*kmsg.InitializeShareGroupStateResponse).Topics
			if len(topics) != 1 || len(topics[0].Partitions) != 1 {
				return errNoAnswer
			}
			return kerr.ErrorForCode(topics[0].Partitions[0].ErrorCode)
		})
	})
}

// Summarize tells where share partitions are.
func (c *Client) Summarize(ctx context.Context, keys []Key) ([]Summary, []error) {
	summaries := make([]Summary, len(keys))
	return summaries, c.each(len(keys), func(i int) error {
		request := kmsg.NewPtrReadShareGroupStateSummaryRequest()
		request.Version, request.GroupID = 1, keys[i].Group
		p := kmsg.NewReadShareGroupStateSummaryRequestTopicPartition()
		p.Partition, p.LeaderEpoch = keys[i].Partition, -1
		request.Topics = []kmsg.ReadShareGroupStateSummaryRequestTopic{{TopicID: keys[i].Topic, Partitions: []kmsg.ReadShareGroupStateSummaryRequestTopicPartition{p}}}
		return c.retry(ctx, keys[i], request, func(r kmsg.Response) error {
			topics := r.(*kmsg.ReadShareGroupStateSummaryResponse).Topics
			if len(topics) != 1 || len(topics[0].Partitions) != 1 {
				return errNoAnswer
			}
			told := topics[0].Partitions[0]
			summaries[i] = Summary{told.StartOffset >= 0, told.LeaderEpoch, told.StateEpoch, told.StartOffset, told.DeliveryCompleteCount}
			return kerr.ErrorForCode(told.ErrorCode)
		})
	})
}

// Delete forgets share partitions.
func (c *Client) Delete(ctx context.Context, keys []Key) []error {
	return c.each(len(keys), func(i int) error {
		request := kmsg.NewPtrDeleteShareGroupStateRequest()
		request.GroupID = keys[i].Group
		p := kmsg.NewDeleteShareGroupStateRequestTopicPartition()
		p.Partition = keys[i].Partition
		request.Topics = []kmsg.DeleteShareGroupStateRequestTopic{{TopicID: keys[i].Topic, Partitions: []kmsg.DeleteShareGroupStateRequestTopicPartition{p}}}
		return c.retry(ctx, keys[i], request, func(r kmsg.Response) error {
			topics := r.(*kmsg.DeleteShareGroupStateResponse).Topics
			if len(topics) != 1 || len(topics[0].Partitions) != 1 {
				return errNoAnswer
			}
			return kerr.ErrorForCode(topics[0].Partitions[0].ErrorCode)
		})
	})
}

// maxAsked bounds how many share partitions are asked for at the same time: their writes share batches and flushes.
const maxAsked = 64

func (c *Client) each(n int, one func(i int) error) []error {
	errs := make([]error, n)
	turns := make(chan struct{}, maxAsked)
	var asking sync.WaitGroup
	for i := range errs {
		turns <- struct{}{}
		asking.Go(func() {
			errs[i] = one(i)
			<-turns
		})
	}
	asking.Wait()
	return errs
}

var errNoAnswer = errors.New("the share coordinator's answer is not about what was asked")

// retry asks the coordinator of the key until it is found and has an answer.
func (c *Client) retry(ctx context.Context, k Key, request kmsg.Request, read func(kmsg.Response) error) error {
	for pause := minRetryPause; ; pause = min(2*pause, maxRetryPause) {
		err := c.once(ctx, k, request, read)
		var known *kerr.Error
		if err == nil || errors.As(err, &known) && !again(known) {
			return err
		}
		select {
		case <-ctx.Done():
			if known != nil {
				return known
			}
			return kerr.CoordinatorNotAvailable
		case <-time.After(pause):
		}
	}
}

// again says that another attempt may go better.
func again(fault *kerr.Error) bool {
	switch fault {
	case kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress:
		return true
	}
	return false
}

func (c *Client) once(ctx context.Context, k Key, request kmsg.Request, read func(kmsg.Response) error) error {
	node, ok := c.cfg.Leader(ctx, k)
	if !ok {
		return kerr.CoordinatorNotAvailable
	}
	if node != c.cfg.NodeID {
		answer, err := c.cfg.Ask(ctx, node, request)
		if err != nil {
			return err
		}
		return read(answer)
	}
	switch r := request.(type) {
	case *kmsg.ReadShareGroupStateRequest:
		return read(c.cfg.Service.ReadShareGroupState(ctx, r))
	case *kmsg.WriteShareGroupStateRequest:
		return read(c.cfg.Service.WriteShareGroupState(ctx, r))
	case *kmsg.InitializeShareGroupStateRequest:
		return read(c.cfg.Service.InitializeShareGroupState(ctx, r))
	case *kmsg.ReadShareGroupStateSummaryRequest:
		return read(c.cfg.Service.ReadShareGroupStateSummary(ctx, r))
	default:
		return read(c.cfg.Service.DeleteShareGroupState(ctx, r.(*kmsg.DeleteShareGroupStateRequest)))
	}
}
