package metadata

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of one node.
type metrics struct {
	commitSeconds prometheus.Histogram
	collectors    []prometheus.Collector
	registerer    prometheus.Registerer
}

func newMetrics(registerer prometheus.Registerer, n *Node) (*metrics, error) {
	m := &metrics{registerer: registerer}
	m.commitSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "millrace_metadata_commit_seconds", Help: "Time from proposing an entry of the metadata log until it was committed and applied here.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
	})
	m.collectors = append(m.collectors, m.commitSeconds)
	m.gauge("millrace_metadata_applied_index", "Index of the last entry of the metadata log that was applied.", func() float64 {
		return float64(n.Image().Index())
	})
	m.gauge("millrace_metadata_term", "Current term (leader epoch) of the metadata quorum.", func() float64 {
		return float64(n.quorum.State().Term)
	})
	m.gauge("millrace_metadata_leader", "1 while this node leads the metadata quorum, else 0.", func() float64 {
		if n.IsController() {
			return 1
		}
		return 0
	})
	m.gauge("millrace_metadata_topics", "Topics in the cluster.", func() float64 { return float64(n.Image().TopicCount()) })
	m.gauge("millrace_metadata_partitions", "Partitions in the cluster.", func() float64 { return float64(n.Image().PartitionCount()) })
	for _, c := range m.collectors {
		if err := registerer.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("register metadata metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) gauge(name, help string, value func() float64) {
	m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
}

func (m *metrics) unregister() {
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}
