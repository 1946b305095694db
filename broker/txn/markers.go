package txn

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

const (
	// maxRequestsInFlight bounds the requests with markers to one broker; what comes meanwhile goes into the next one.
	maxRequestsInFlight = 2
	// maxPartitionsPerRequest bounds one request.
	maxPartitionsPerRequest = 4096
	// markerTimeout is when a broker that does not answer is given up on: somebody else may lead by then.
	markerTimeout = 10 * time.Second

	minMarkerPause = 20 * time.Millisecond
	maxMarkerPause = time.Second
	// tellingFailures is how many failures of a marker an operator hears of at a time.
	tellingFailures = 20
)

// Brokers are those that markers go to.
type Brokers interface {
	// Leader is the broker that leads a partition, -1: none does now. A partition that does not exist was deleted.
	Leader(tenant, topic string, partition int32) (nodeID int32, exists bool)
	// WriteTxnMarkers asks a broker, which may be this one. It returns when the markers are as durable as the log makes them.
	WriteTxnMarkers(ctx context.Context, nodeID int32, request *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error)
}

// Job is a decision whose markers are to be written.
type Job struct {
	key              key
	Producer         Producer
	Commit           bool
	CoordinatorEpoch int32
	Version          int16
	partitions       []topicPartitions
}

// markers brings decisions to the partitions: batched for each broker, again and again until every partition has its marker,
// was deleted, or the coordinator is another.
type markers struct {
	brokers Brokers
	logger  *slog.Logger
	metrics *metrics
	done    func(partition int32, all []completed) // called without a lock
	ctx     context.Context                        // ends with close
	cancel  context.CancelFunc
	work    sync.WaitGroup // added to under mu while not closed

	mu     sync.Mutex // guards what follows; not held while anything is asked
	closed bool
	queues map[int32]*markerQueue
}

// reign is a coordinator partition in one leader epoch. Guarded by the mu of markers.
type reign struct {
	partition int32
	over      bool
}

// delivery is a Job on its way. Guarded by the mu of markers, except for what the Job says, which nobody changes.
type delivery struct {
	Job
	reign *reign
	left  int // partitions without a marker
}

// marker is one of a delivery.
type marker struct {
	delivery  *delivery
	partition Partition
	failures  int
}

// wireTopic names the topic to a broker, to which requests of brokers are of no tenant.
func (x marker) wireTopic() string {
	return coordinator.QualifiedName(x.delivery.key.tenant, x.partition.Topic)
}

// markerQueue is what waits for one broker. Guarded by the mu of markers.
type markerQueue struct {
	waiting  []marker
	inFlight int
}

func newMarkers(brokers Brokers, logger *slog.Logger, metrics *metrics, done func(int32, []completed)) *markers {
	ctx, cancel := context.WithCancel(context.Background())
	return &markers{
		brokers: brokers, logger: logger, metrics: metrics, done: done, ctx: ctx, cancel: cancel,
		queues: make(map[int32]*markerQueue),
	}
}

// end closes a reign: nothing more is sent or told of it.
func (m *markers) end(r *reign) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r.over = true
}

// close ends the sending and waits for it.
func (m *markers) close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	m.cancel()
	m.work.Wait()
}

// send takes decisions over. It returns at once.
func (m *markers) send(r *reign, jobs []Job) {
	var all []marker
	for _, job := range jobs {
		d := &delivery{Job: job, reign: r, left: countPartitions(job.partitions)}
		for _, t := range job.partitions {
			for _, number := range t.partitions {
				all = append(all, marker{delivery: d, partition: Partition{t.topic, number}})
			}
		}
	}
	m.route(all)
}

// route queues markers for the leaders of their partitions.
func (m *markers) route(all []marker) {
	byNode := make(map[int32][]marker)
	var gone, later []marker
	for _, x := range all {
		leader, exists := m.brokers.Leader(x.delivery.key.tenant, x.partition.Topic, x.partition.Number)
		switch {
		case !exists:
			gone = append(gone, x)
		case leader < 0:
			later = append(later, x)
		default:
			byNode[leader] = append(byNode[leader], x)
		}
	}
	m.settle(gone)
	m.again(later)
	m.mu.Lock()
	defer m.mu.Unlock()
	for nodeID, list := range byNode {
		m.enqueueLocked(nodeID, list)
	}
}

func (m *markers) enqueueLocked(nodeID int32, list []marker) {
	q := m.queues[nodeID]
	if q == nil {
		q = &markerQueue{}
		m.queues[nodeID] = q
	}
	q.waiting = append(q.waiting, list...)
	if m.closed || q.inFlight >= maxRequestsInFlight {
		return
	}
	q.inFlight++
	m.work.Go(func() { m.serve(nodeID, q) })
}

// serve sends to a broker what waits for it, until nothing does.
func (m *markers) serve(nodeID int32, q *markerQueue) {
	for batch := m.take(q); len(batch) > 0; batch = m.take(q) {
		ctx, cancel := context.WithTimeout(m.ctx, markerTimeout)
		m.metrics.markerBatches.Inc()
		answer, err := m.brokers.WriteTxnMarkers(ctx, nodeID, requestOf(batch))
		cancel()
		if m.ctx.Err() != nil {
			err = m.ctx.Err()
		}
		m.judge(nodeID, batch, answer, err)
	}
}

// take returns what is sent next; nothing ends the serving.
func (m *markers) take(q *markerQueue) []marker {
	m.mu.Lock()
	defer m.mu.Unlock()
	var batch []marker
	rest := q.waiting
	for len(rest) > 0 && len(batch) < maxPartitionsPerRequest {
		if !rest[0].delivery.reign.over {
			batch = append(batch, rest[0])
		}
		rest = rest[1:]
	}
	q.waiting = rest
	if len(rest) == 0 {
		q.waiting = nil // lets go of the array
	}
	if m.closed {
		batch = nil
	}
	if len(batch) == 0 {
		q.inFlight--
	}
	return batch
}

// requestOf puts the markers of each delivery together.
func requestOf(batch []marker) *kmsg.WriteTxnMarkersRequest {
	request := kmsg.NewPtrWriteTxnMarkersRequest()
	request.Version = 2
	places := make(map[*delivery]int)
	for _, x := range batch {
		d := x.delivery
		at, known := places[d]
		if !known {
			at = len(request.Markers)
			places[d] = at
			request.Markers = append(request.Markers, kmsg.WriteTxnMarkersRequestMarker{
				ProducerID: d.Producer.ID, ProducerEpoch: d.Producer.Epoch, Committed: d.Commit,
				CoordinatorEpoch: d.CoordinatorEpoch, TransactionVersion: int8(d.Version),
			})
		}
		topics, name := &request.Markers[at].Topics, x.wireTopic()
		if n := len(*topics); n == 0 || (*topics)[n-1].Topic != name {
			*topics = append(*topics, kmsg.WriteTxnMarkersRequestMarkerTopic{Topic: name})
		}
		topic := &(*topics)[len(*topics)-1]
		topic.Partitions = append(topic.Partitions, x.partition.Number)
	}
	return request
}

// judge looks at what became of each marker.
func (m *markers) judge(nodeID int32, batch []marker, answer *kmsg.WriteTxnMarkersResponse, err error) {
	if err != nil {
		if m.ctx.Err() == nil {
			m.logger.Warn("markers of transactions did not reach a broker; they are sent again", "broker", nodeID, "markers", len(batch), "error", err)
		}
		m.again(batch)
		return
	}
	codes := codesOf(answer)
	var done, failed []marker
	for _, x := range batch {
		code, told := codes[place{x.delivery.Producer.ID, Partition{x.wireTopic(), x.partition.Number}}]
		switch {
		case told && isWritten(code):
			done = append(done, x)
		case code == kerr.TransactionCoordinatorFenced.Code:
			m.logger.Warn("another broker coordinates the transaction", "transactionalId", x.delivery.key.id, "broker", nodeID,
				"topic", x.partition.Topic, "partition", x.partition.Number)
		default:
			failed = append(failed, x)
		}
	}
	m.settle(done)
	m.again(failed)
}

// isWritten says whether a partition needs no marker any more. A producer epoch that is too low says that it has this
// decision, or a later one: our marker came twice. A partition that takes no markers has no transaction.
func isWritten(code int16) bool {
	switch code {
	case 0, kerr.InvalidProducerEpoch.Code, kerr.UnsupportedForMessageFormat.Code, kerr.UnsupportedVersion.Code:
		return true
	}
	return false
}

// place is where an answer speaks of a marker; the topic is named as in the request.
type place struct {
	producerID int64
	partition  Partition
}

func codesOf(answer *kmsg.WriteTxnMarkersResponse) map[place]int16 {
	codes := make(map[place]int16)
	for _, mark := range answer.Markers {
		for _, t := range mark.Topics {
			for _, p := range t.Partitions {
				codes[place{mark.ProducerID, Partition{t.Topic, p.Partition}}] = p.ErrorCode
			}
		}
	}
	return codes
}

// settle counts markers that are written, and tells the coordinator of transactions that have all of theirs.
func (m *markers) settle(done []marker) {
	if len(done) == 0 {
		return
	}
	m.metrics.markers.Add(float64(len(done)))
	told := make(map[int32][]completed)
	m.mu.Lock()
	for _, x := range done {
		d := x.delivery
		if d.left--; d.left == 0 && !d.reign.over {
			c := completed{prepared{d.key, d.Producer}, d.CoordinatorEpoch}
			told[d.reign.partition] = append(told[d.reign.partition], c)
		}
	}
	m.mu.Unlock()
	for partition, all := range told {
		m.done(partition, all)
	}
}

// again sends markers once more after a pause that grows with their failures: the image may name another leader then.
func (m *markers) again(failed []marker) {
	if len(failed) == 0 {
		return
	}
	m.metrics.markerRetries.Add(float64(len(failed)))
	most := 0
	for i := range failed {
		failed[i].failures++
		most = max(most, failed[i].failures)
	}
	if most%tellingFailures == 0 {
		m.logger.Warn("markers of transactions are still not written", "markers", len(failed), "attempts", most,
			"transactionalId", failed[0].delivery.key.id, "topic", failed[0].partition.Topic, "partition", failed[0].partition.Number)
	}
	pause := min(minMarkerPause<<min(most-1, 10), maxMarkerPause)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.work.Go(func() {
		select {
		case <-time.After(pause):
			m.route(failed)
		case <-m.ctx.Done():
		}
	})
}
