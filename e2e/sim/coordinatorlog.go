package sim

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/producer"
	wire "github.com/millrace-io/millrace/broker/record"
)

// The names of topics. The partitions of all of them are the partitions of one topic in the image of the simulated cluster.
const (
	topicName    = "simulated"
	statesTopic  = "__transaction_state"
	offsetsTopic = "__consumer_offsets"
)

// span is the partitions of a topic, by their places among all.
type span struct {
	topic string
	first int
	count int32
}

func (s span) number(place int) (int32, bool) {
	return int32(place - s.first), place >= s.first && place < s.first+int(s.count)
}

// layout is which partitions there are.
type layout struct{ data, states, offsets, passing span }

func newLayout() layout {
	return layout{
		data: span{topicName, 0, 3}, states: span{statesTopic, 3, 2}, offsets: span{offsetsTopic, 5, 1}, passing: span{passingTopic, 6, generations},
	}
}

func (l layout) partitions() int { return l.passing.first + int(l.passing.count) }

// place is the partition of a topic among all.
func (l layout) place(topic string, number int32) (int, bool) {
	for _, s := range []span{l.data, l.states, l.offsets} {
		if s.topic == topic && number >= 0 && number < s.count {
			return s.first + int(number), true
		}
	}
	return 0, false
}

// coordinatorLog is a coordinator's view of the partitions of its topic, as package broker's internalLog is.
type coordinatorLog struct {
	s    *services
	span span
}

// Append implements coordinator.Log.
func (c coordinatorLog) Append(ctx context.Context, number int32, batch wire.Batch, leaderEpoch int32) (int64, error) {
	return c.append(ctx, number, log.Entry{Batch: batch}, leaderEpoch)
}

// AppendTransactional implements coordinator.TransactionalLog.
func (c coordinatorLog) AppendTransactional(ctx context.Context, number int32, batch wire.Batch, terms coordinator.Terms, leaderEpoch int32) (int64, error) {
	return c.append(ctx, number, log.Entry{Batch: batch, Guard: producer.Guard(terms.Guard), TransactionVersion: terms.TransactionVersion}, leaderEpoch)
}

// do is services.do for a partition; err is what it sets, or that the process has ended.
func (c coordinatorLog) do(ctx context.Context, what string, number int32, fn func() error) error {
	var err error
	if ok := c.s.do(ctx, fmt.Sprintf("%s %s-%d", what, c.span.topic, number), func(done func()) {
		err = fn()
		// Two partitions do not go on at one moment, after which real code would do the same for both at one moment for ever.
		c.s.n.w.on(c.s.n, c.s.n.w.between(time.Microsecond, 100*time.Microsecond), done)
	}); !ok {
		return kerr.NotLeaderForPartition
	}
	return err
}

func (c coordinatorLog) append(ctx context.Context, number int32, e log.Entry, leaderEpoch int32) (end int64, err error) {
	err = c.do(ctx, "append to", number, func() error {
		l := c.leading(number, leaderEpoch)
		if l == nil {
			return kerr.NotLeaderForPartition
		}
		if err := l.write(&e, log.OriginCoordinator); err != nil {
			return err
		}
		end = e.LastOffset + 1
		c.s.appended(c.span, e.Batch, leaderEpoch)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return end, nil
}

func (c coordinatorLog) leading(number, leaderEpoch int32) *leadership {
	l := c.s.n.roles[c.span.first+int(number)].leading
	if l == nil || l.core.Epoch() != leaderEpoch {
		return nil
	}
	return l
}

// AwaitCommitted implements coordinator.Log.
func (c coordinatorLog) AwaitCommitted(number int32, offset int64, leaderEpoch int32, done func(error)) {
	w := c.s.n.w
	tell := func(err error) { w.txns.bubble.call(func() { done(err) }) }
	w.txns.bubble.post(fmt.Sprintf("%d awaits %s-%d %d", c.s.n.id, c.span.topic, number, offset), func() {
		c.s.whenAwake(func() {
			l := c.leading(number, leaderEpoch)
			switch {
			case l == nil:
				tell(kerr.NotLeaderForPartition)
			case w.is(AnswersBeforeReplicated) && c.span.topic == statesTopic:
				tell(nil)
			default:
				l.await(offset, func(err error) { tell(err) })
			}
		})
	})
}

// await tells when everything below an offset is committed in this leadership, or cannot be any more.
func (l *leadership) await(offset int64, done func(error)) {
	if l.core.HighWatermark() >= offset {
		done(nil)
		return
	}
	answer := func(a any) {
		err, _ := a.(error)
		done(err)
	}
	at, _ := slices.BinarySearchFunc(l.produced, offset-1, func(w waiter, o int64) int { return int(min(max(w.offset-o, -1), 1)) })
	l.produced = slices.Insert(l.produced, at, waiter{offset - 1, answer})
}

// Read implements coordinator.Log.
func (c coordinatorLog) Read(ctx context.Context, number int32, offset int64, _ int) (data []byte, end int64, err error) {
	err = c.do(ctx, "read", number, func() error {
		l := c.s.n.logs[c.span.first+int(number)]
		end = l.real.LogEndOffset()
		if c.s.n.w.is(LoadsAllButTheLast) && end > 0 {
			batches := l.batches(c.s.n.w, 0, end)
			end = batches[len(batches)-1].BaseOffset()
		}
		if offset >= end {
			return nil
		}
		var err error
		data, err = readLog(l.real, offset, end)
		return err
	})
	return data, end, err
}

// LogStartOffset implements coordinator.Log.
func (c coordinatorLog) LogStartOffset(int32) (int64, error) { return 0, nil }

// appended is a planted fault: markers of a decision go out before it is durable.
func (s *services) appended(where span, batch wire.Batch, epoch int32) {
	if !s.n.w.is(MarksBeforePrepared) || where.topic != statesTopic {
		return
	}
	for r := range batch.Records(&wire.Decompressor{}) {
		v := kmsg.NewTxnMetadataValue()
		if v.ReadFrom(r.Value) != nil || v.State != 2 && v.State != 3 {
			continue
		}
		for _, t := range v.Topics {
			for _, number := range t.Partitions {
				s.markAtOnce(&v, t.Topic, number, epoch)
			}
		}
	}
}

func (s *services) markAtOnce(v *kmsg.TxnMetadataValue, topic string, number, epoch int32) {
	leader, _ := s.Leader("", topic, number)
	target := s.n.w.node(leader)
	if target == nil {
		return
	}
	r := kmsg.NewPtrWriteTxnMarkersRequest()
	r.Version = 2
	r.Markers = []kmsg.WriteTxnMarkersRequestMarker{{
		ProducerID: v.ProducerID, ProducerEpoch: v.ProducerEpoch, Committed: v.State == 2, CoordinatorEpoch: epoch,
		Topics: []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{number}}},
	}}
	s.n.w.call(s.n, target, time.Second, func(answer func(any)) {
		if target.services != nil {
			target.services.writeMarkers(r, answer)
		}
	}, func(any, bool) {})
}
