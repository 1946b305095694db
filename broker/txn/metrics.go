package txn

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// metrics of the transaction coordinator.
type metrics struct {
	transactions                          [statusCount]prometheus.Gauge
	commits, aborts                       prometheus.Counter
	timeouts, expirations, held           prometheus.Counter
	markers, markerRetries, markerBatches prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, loadedPartitions func() float64) *metrics {
	const namespace, subsystem = "millrace", "transaction_coordinator"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	ids := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "transactional_ids",
		Help: "Transactional ids whose coordinator is this broker, by the state of their transaction."}, []string{"state"})
	ends := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "ends_total",
		Help: "Transactions decided, by the decision."}, []string{"decision"})
	m := &metrics{
		commits: ends.WithLabelValues("commit"), aborts: ends.WithLabelValues("abort"),
		timeouts:      counter("timeouts_total", "Transactions aborted because they took too long."),
		expirations:   counter("expired_ids_total", "Transactional ids forgotten because nobody used them."),
		held:          counter("held_requests_total", "Requests that waited for the completion of the transaction before."),
		markers:       counter("markers_total", "Markers written, or not needed because the partition was deleted."),
		markerRetries: counter("marker_retries_total", "Markers that had to be sent again."),
		markerBatches: counter("marker_requests_total", "Requests with markers sent to brokers, this one included."),
	}
	for st := range statusCount {
		m.transactions[st] = ids.WithLabelValues(st.String())
	}
	if registerer != nil {
		registerer.MustRegister(ids, ends, m.timeouts, m.expirations, m.held, m.markers, m.markerRetries, m.markerBatches,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Namespace: namespace, Subsystem: subsystem, Name: "loaded_partitions",
				Help: "Partitions of the transaction topic that are led here and loaded."}, loadedPartitions))
	}
	return m
}

// runningShard is a shard among what it works with: it hands committed decisions to who sends markers, and publishes figures.
type runningShard struct {
	*shard
	partition int32
	markers   *markers
	metrics   *metrics
	reign     *reign // nil before it is elected
	published figures
}

// Elected implements coordinator.Elected.
func (r *runningShard) Elected(leaderEpoch int32) {
	r.reign = &reign{partition: r.partition}
	r.shard.Elected(leaderEpoch)
}

// Settled implements coordinator.Shard.
func (r *runningShard) Settled() {
	if jobs := r.outbox; len(jobs) > 0 {
		r.outbox = nil
		r.markers.send(r.reign, jobs)
	}
	r.publish(r.figures)
}

// Closed implements coordinator.Shard: what the shard held is no longer here, and its markers are another coordinator's.
func (r *runningShard) Closed() {
	if r.reign != nil {
		r.markers.end(r.reign)
	}
	last := r.figures
	last.transactions = [statusCount]int64{}
	r.publish(last)
}

func (r *runningShard) publish(now figures) {
	was := r.published
	for st := range now.transactions {
		add(r.metrics.transactions[st], now.transactions[st]-was.transactions[st])
	}
	add(r.metrics.commits, now.commits-was.commits)
	add(r.metrics.aborts, now.aborts-was.aborts)
	add(r.metrics.timeouts, now.timeouts-was.timeouts)
	add(r.metrics.expirations, now.expired-was.expired)
	add(r.metrics.held, now.heldTotal-was.heldTotal)
	r.published = now
}

func add(to interface{ Add(float64) }, n int64) {
	if n != 0 {
		to.Add(float64(n))
	}
}

var _ coordinator.Elected = (*runningShard)(nil)
