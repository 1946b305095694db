package group

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the group coordinator.
type metrics struct {
	groups      [stateCount]prometheus.Gauge
	consumers   [consumerStateCount]prometheus.Gauge
	streams     [streamsStateCount]prometheus.Gauge
	offsets     prometheus.Gauge
	shares      prometheus.Gauge
	commits     prometheus.Counter
	expirations prometheus.Counter
	deletions   prometheus.Counter
	rebalances  prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, loadedPartitions func() float64) *metrics {
	const namespace, subsystem = "millrace", "group_coordinator"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	groups := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "groups", Help: "Classic, consumer and streams groups whose coordinator is this broker, by type and state."}, []string{"type", "state"})
	m := &metrics{
		offsets: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "committed_offsets", Help: "Committed offsets that this broker holds in memory."}),
		shares: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "share_groups", Help: "Share groups whose coordinator is this broker."}),
		commits:     counter("offset_commits_total", "Offsets committed, one for each partition."),
		expirations: counter("offset_expirations_total", "Offsets that outlived their retention."),
		deletions:   counter("offset_deletions_total", "Offsets deleted by request or with their topic."),
		rebalances:  counter("completed_rebalances_total", "Assignments that groups got, by their leaders or by the broker."),
	}
	for st := empty; st < stateCount; st++ {
		m.groups[st] = groups.WithLabelValues("classic", st.String())
	}
	for st := consumerEmpty; st < consumerStateCount; st++ {
		m.consumers[st] = groups.WithLabelValues("consumer", st.String())
	}
	for st := streamsEmpty; st < streamsStateCount; st++ {
		m.streams[st] = groups.WithLabelValues("streams", st.String())
	}
	if registerer != nil {
		registerer.MustRegister(groups, m.offsets, m.shares, m.commits, m.expirations, m.deletions, m.rebalances,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Namespace: namespace, Subsystem: subsystem, Name: "loaded_partitions",
				Help: "Partitions of the offsets topic that are led here and loaded."}, loadedPartitions))
	}
	return m
}

// countedShard publishes a shard's figures as they change.
type countedShard struct {
	*shard
	metrics   *metrics
	published figures
}

// Settled implements coordinator.Shard.
func (c *countedShard) Settled() {
	c.shard.Settled()
	c.publish(c.figures)
}

// Closed implements coordinator.Shard: what the shard held is no longer here.
func (c *countedShard) Closed() {
	c.shard.Closed()
	last := c.figures
	last.groups, last.consumers, last.offsets, last.shares = [stateCount]int64{}, [consumerStateCount]int64{}, 0, 0
	last.streams = [streamsStateCount]int64{}
	c.publish(last)
}

func (c *countedShard) publish(now figures) {
	was := c.published
	for st := range now.groups {
		c.metrics.groups[st].Add(float64(now.groups[st] - was.groups[st]))
	}
	for st := range now.consumers {
		c.metrics.consumers[st].Add(float64(now.consumers[st] - was.consumers[st]))
	}
	for st := range now.streams {
		c.metrics.streams[st].Add(float64(now.streams[st] - was.streams[st]))
	}
	c.metrics.offsets.Add(float64(now.offsets - was.offsets))
	c.metrics.shares.Add(float64(now.shares - was.shares))
	c.metrics.commits.Add(float64(now.commits - was.commits))
	c.metrics.expirations.Add(float64(now.expired - was.expired))
	c.metrics.deletions.Add(float64(now.deleted - was.deleted))
	c.metrics.rebalances.Add(float64(now.rebalances - was.rebalances))
	c.published = now
}
