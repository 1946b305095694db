package state

import "github.com/prometheus/client_golang/prometheus"

// metrics of the share coordinator.
type metrics struct {
	states prometheus.Gauge
	writes prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	const namespace, subsystem = "millrace", "share_coordinator"
	m := &metrics{
		states: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: "share_partitions",
			Help: "Partitions of share groups whose state this broker keeps."}),
		writes: prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: "writes_total",
			Help: "States that leaders of partitions wrote."}),
	}
	if registerer != nil {
		registerer.MustRegister(m.states, m.writes)
	}
	return m
}

// countedShard publishes a shard's figures as they change.
type countedShard struct {
	*shard
	metrics *metrics
	states  int
	writes  int64
}

// Settled implements coordinator.Shard.
func (c *countedShard) Settled() { c.publish(len(c.shard.states)) }

// Closed implements coordinator.Shard: what the shard held is no longer here.
func (c *countedShard) Closed() { c.publish(0) }

func (c *countedShard) publish(states int) {
	c.metrics.states.Add(float64(states - c.states))
	c.metrics.writes.Add(float64(c.shard.writes - c.writes))
	c.states, c.writes = states, c.shard.writes
}
