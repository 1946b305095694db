package share

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/share/delivery"
)

// metrics of the share partitions that are led here.
type metrics struct {
	acquired, expired, failedWrites prometheus.Counter
	said                            [5]prometheus.Counter // by type of acknowledgement
}

func newMetrics(registerer prometheus.Registerer, m *Manager) *metrics {
	const namespace, subsystem = "millrace", "share"
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
	}
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			return float64(value())
		})
	}
	said := prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "acknowledgements_total", Help: "Records that share consumers acknowledged, by type."}, []string{"type"})
	own := &metrics{
		acquired:     counter("records_acquired_total", "Records that were given to share consumers."),
		expired:      counter("locks_expired_total", "Records whose holder did not acknowledge them in time."),
		failedWrites: counter("failed_writes_total", "States of share partitions that could not be written."),
	}
	for kind, name := range []string{"gap", "accept", "release", "reject", "renew"} {
		own.said[kind] = said.WithLabelValues(name)
	}
	if registerer != nil {
		registerer.MustRegister(own.acquired, own.expired, own.failedWrites, said,
			gauge("sessions", "Share sessions.", func() int { return len(m.sessions) }),
			gauge("partitions", "Share partitions in memory.", func() int { return len(m.partitions) }))
	}
	return own
}

func (m *metrics) acknowledge(said []delivery.Acknowledgement) {
	for _, a := range said {
		if len(a.Types) == 1 {
			m.said[a.Types[0]].Add(float64(a.Last - a.First + 1))
			continue
		}
		for _, kind := range a.Types {
			m.said[kind].Inc()
		}
	}
}
