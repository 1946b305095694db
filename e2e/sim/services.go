package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/metadata/image"
)

var (
	errNotEnough  = kerr.NotEnoughReplicas
	errConnection = errors.New("the connection broke")
)

// services are what real code runs in one start of a node's process: the transaction coordinator, the group coordinator and the
// verifier, on the logs of the node's disk.
type services struct {
	n        *node
	life     int
	ctx      context.Context // ends with the process
	cancel   context.CancelFunc
	image    atomic.Pointer[image.Image] // what the node knows
	dir      *log.Dir
	txns     *txn.Service
	groups   *group.Service
	verifier *verify.Verifier
	asked    atomic.Int64 // names of messages that nothing else tells apart
}

// startServices opens the disk and makes the coordinators, which coordinate nothing until the node is elected.
func (n *node) startServices() {
	s := &services{n: n, life: n.life}
	s.ctx, s.cancel = context.WithCancel(n.w.txns.bubble.over)
	s.image.Store(n.image())
	n.services = s
	t := n.w.txns
	logger := slog.New(timeouts{slog.DiscardHandler, &t.timeouts})
	n.openLogs(log.DirConfig{Clock: s.wall, SnapshotIntervalBytes: t.snapshotBytes, CheckpointInterval: t.checkpoints, CheckpointBytes: 8 << 10,
		ProducerIDExpiration: t.forgetting, ProducerCheckInterval: min(t.forgetting, 500*time.Millisecond)})
	s.txns = txn.New(txn.Config{
		Log: coordinatorLog{s, t.layout.states}, PartitionCount: func() int32 { return t.layout.states.count }, Brokers: s, Clock: s.wall, Logger: logger,
		NextProducerID: s.nextProducerID, Settings: t.set,
	})
	s.groups = group.New(group.Config{
		Log: coordinatorLog{s, t.layout.offsets}, PartitionCount: func() int32 { return t.layout.offsets.count }, Clock: s.wall, Logger: logger,
	})
	s.verifier = verify.New(verify.Config{
		NodeID: n.id, Coordinator: s.coordinator, Send: s.askCoordinator, Timeout: 2 * time.Second, Logger: logger,
		Patience: func() time.Duration { return 100 * time.Millisecond }, Pause: func() time.Duration { return 20 * time.Millisecond },
		Enabled: func() bool { return true }, Sleep: s.sleep,
	})
}

// wall is the node's clock, for any goroutine.
func (s *services) wall() time.Time {
	passed := time.Since(s.n.w.txns.bubble.start)
	return time.Unix(2_000_000_000, 0).Add(s.n.skew + passed + passed*time.Duration(s.n.drift)/1000)
}

// timeouts is the log of a process, of which the world wants to know one line only.
type timeouts struct {
	slog.Handler
	seen *atomic.Int64
}

func (timeouts) Enabled(context.Context, slog.Level) bool { return true }

func (t timeouts) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "transaction timed out" {
		t.seen.Add(1)
	}
	return nil
}

func (t timeouts) WithAttrs([]slog.Attr) slog.Handler { return t }
func (t timeouts) WithGroup(string) slog.Handler      { return t }

// endServices ends what ran in the process. What it still wanted is not done.
func (n *node) endServices(how ending) {
	s := n.services
	n.services = nil
	s.cancel()
	b := n.w.txns.bubble
	b.call(func() {
		go func() {
			s.txns.Close()
			s.groups.Close()
			s.verifier.Close()
		}()
	})
	n.closeLogs(s.dir, how)
}

// elected tells the coordinator of a partition, if it has one.
func (n *node) elected(partition int, epoch int32) {
	if s := n.services; s != nil {
		if number, ok := n.w.txns.layout.states.number(partition); ok {
			n.preface(number, s)
		}
		s.tell(partition, func(number int32) { s.txns.OnElection(number, epoch) }, func(number int32) { s.groups.OnElection(number, epoch) })
	}
}

func (n *node) resigned(partition int) {
	if s := n.services; s != nil {
		s.tell(partition, s.txns.OnResignation, s.groups.OnResignation)
	}
}

func (s *services) tell(partition int, states, offsets func(number int32)) {
	t := s.n.w.txns
	if number, ok := t.layout.states.number(partition); ok {
		t.bubble.call(func() { states(number) })
	}
	if number, ok := t.layout.offsets.number(partition); ok {
		t.bubble.call(func() { offsets(number) })
	}
}

// coordinate answers a request of a producer to the transaction coordinator.
func (s *services) coordinate(what string, p *producing, code func(*services) given, answer func(any)) {
	s.serve(fmt.Sprintf("%s %s.%d %d", what, p.name, p.instance, s.asked.Add(1)), func(context.Context) any { return code(s) }, answer)
}

// alive says whether the process is still the one that the services are of.
func (s *services) alive() bool { return s.n.services == s }

// do has the world do something for this process, when it is not paused. It is false when the process ends first.
func (s *services) do(ctx context.Context, name string, fn func(done func())) bool {
	w := s.n.w
	return w.txns.bubble.ask(ctx, fmt.Sprintf("%d %s", s.n.id, name), func(done func()) {
		s.whenAwake(func() { fn(done) })
	})
}

// whenAwake does something on the world's goroutine for this process, when it is not paused.
func (s *services) whenAwake(fn func()) {
	switch {
	case !s.alive():
	case s.n.paused:
		s.n.waiting = append(s.n.waiting, &event{node: s.n, life: s.life, fn: fn})
	default:
		fn()
	}
}

// serve answers a request by real code, which may block.
func (s *services) serve(name string, code func(context.Context) any, answer func(any)) {
	b := s.n.w.txns.bubble
	name = fmt.Sprintf("%d answers %s", s.n.id, name)
	b.call(func() {
		go func() {
			a := code(s.ctx)
			b.post(name, func() { s.whenAwake(func() { answer(a) }) })
		}()
	})
}

// ask sends a request to a node and waits for the answer, which real code of this process wants. One that is fragile does not come
// twice, nor after it was given up.
func (s *services) ask(ctx context.Context, name string, to int32, fragile bool, handle func(to *services, answer func(any))) (any, error) {
	var got any
	w := s.n.w
	ok := s.do(ctx, fmt.Sprintf("asks %d %s", to, name), func(done func()) {
		end := func(a any, ok bool) {
			if got = a; !ok {
				got = errConnection
			}
			done()
		}
		target := w.node(to)
		switch {
		case target == s.n:
			handle(s, func(a any) { w.on(s.n, 0, func() { end(a, true) }) })
		case target == nil || !target.up && w.chance(2):
			w.on(s.n, w.between(10*time.Microsecond, time.Millisecond), func() { end(nil, false) }) // the address refuses
		default:
			w.request(s.n, target, w.between(300*time.Millisecond, 2*time.Second), fragile, handle, end)
		}
	})
	if !ok {
		return nil, context.Cause(ctx)
	}
	if err, failed := got.(error); failed {
		return nil, err
	}
	return got, nil
}

// Leader implements txn.Brokers.
func (s *services) Leader(_, topic string, partition int32) (nodeID int32, exists bool) {
	img := s.image.Load()
	place, ok := s.n.w.txns.layout.placeIn(img, topic, partition)
	if !ok {
		return -1, s.n.w.is(WaitsForDeletedPartitions)
	}
	p := partitionOf(img, s.n.w.meta.topic, place)
	if p == nil {
		return 0, false
	}
	return p.Leader, true
}

// coordinator finds who coordinates a transactional id.
func (s *services) coordinator(transactionalID string) (nodeID int32, ok bool) {
	return coordinatorIn(s.n.w, s.image.Load(), transactionalID)
}

func coordinatorIn(w *World, img *image.Image, transactionalID string) (nodeID int32, ok bool) {
	states := w.txns.layout.states
	p := partitionOf(img, w.meta.topic, states.first+int(txn.PartitionFor("default", transactionalID, states.count)))
	if p == nil || p.Leader < 0 {
		return 0, false
	}
	return p.Leader, true
}

// questionName is what a context has for who asks the verifier.
type questionName struct{}

// sleep is the verifier's: two questions that are answered at one moment are not asked again at one moment, or chance would decide whether
// they share a request.
func (s *services) sleep(ctx context.Context, d time.Duration) bool {
	return s.do(ctx, fmt.Sprint("sleeps before ", ctx.Value(questionName{})), func(done func()) {
		s.n.w.on(s.n, d+s.n.w.between(0, 100*time.Microsecond), done)
	})
}

// nextProducerID asks for an id as from a block that the controller gave out; a block may take a moment.
func (s *services) nextProducerID(ctx context.Context) (id int64, err error) {
	t := s.n.w.txns
	ok := s.do(ctx, fmt.Sprintf("wants a producer id %d", s.asked.Add(1)), func(done func()) {
		s.n.w.on(s.n, s.n.w.between(0, 5*time.Millisecond), func() {
			if id, err = t.nextID, nil; s.n.w.chance(20) {
				err = errConnection
			}
			if t.nextID++; s.n.w.is(GivesIDsTwice) && id > firstID+idCount {
				id--
			}
			done()
		})
	})
	if !ok {
		return 0, ctx.Err()
	}
	return id, err
}

// askCoordinator carries a verifier's question.
func (s *services) askCoordinator(ctx context.Context, nodeID int32, r *kmsg.AddPartitionsToTxnRequest) (*kmsg.AddPartitionsToTxnResponse, error) {
	first := &r.Transactions[0]
	name := fmt.Sprintf("about %s %d %v of %d", first.TransactionalID, first.ProducerEpoch, first.Topics, len(r.Transactions))
	a, err := s.ask(ctx, name, nodeID, false, func(to *services, answer func(any)) {
		to.addPartitions(r, answer)
	})
	if err != nil {
		return nil, err
	}
	return a.(*kmsg.AddPartitionsToTxnResponse), nil
}

// addPartitions answers a broker, as package api does: all transactions at a time.
func (s *services) addPartitions(r *kmsg.AddPartitionsToTxnRequest, answer func(any)) {
	response := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	response.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(r.Transactions))
	left := len(r.Transactions)
	for i := range r.Transactions {
		asked := &r.Transactions[i]
		s.serve(fmt.Sprintf("about %s %d", asked.TransactionalID, s.asked.Add(1)), func(ctx context.Context) any { return s.addPartitionsFor(ctx, asked) }, func(a any) {
			response.Transactions[i] = a.(kmsg.AddPartitionsToTxnResponseTransaction)
			if left--; left == 0 {
				answer(response)
			}
		})
	}
}

func (s *services) addPartitionsFor(ctx context.Context, r *kmsg.AddPartitionsToTxnRequestTransaction) kmsg.AddPartitionsToTxnResponseTransaction {
	var partitions []txn.Partition
	for _, t := range r.Topics {
		for _, number := range t.Partitions {
			partitions = append(partitions, txn.Partition{Topic: t.Topic, Number: number})
		}
	}
	producer := txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
	faults := make([]*kerr.Error, len(partitions))
	err := s.known(partitions)
	switch {
	case err != nil:
	case r.VerifyOnly:
		var verified []*kerr.Error
		if verified, err = s.txns.VerifyPartitions(ctx, "default", r.TransactionalID, producer, partitions); err == nil {
			faults = verified
		}
	default:
		err = s.txns.AddPartitions(ctx, "default", r.TransactionalID, producer, partitions, 2, true)
	}
	answer := kmsg.AddPartitionsToTxnResponseTransaction{TransactionalID: r.TransactionalID}
	for _, t := range r.Topics {
		topic := kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: t.Topic}
		for _, number := range t.Partitions {
			fault := faults[0]
			if faults = faults[1:]; err != nil {
				fault = err
			}
			topic.Partitions = append(topic.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: number, ErrorCode: codeOf(fault)})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// known refuses what the node's image does not have, as package api does: what the coordinator does not know it would take for deleted.
func (s *services) known(partitions []txn.Partition) *kerr.Error {
	for _, p := range partitions {
		if _, ok := s.n.w.txns.layout.placeIn(s.image.Load(), p.Topic, p.Number); !ok {
			return kerr.UnknownTopicOrPartition
		}
	}
	return nil
}

func codeOf(err *kerr.Error) int16 {
	if err == nil {
		return 0
	}
	return err.Code
}
