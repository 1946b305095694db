package replica

import "github.com/prometheus/client_golang/prometheus"

// metrics are what a manager counts.
type metrics struct {
	bytesIn    prometheus.Counter
	isrChanges prometheus.Counter
}

// newMetrics also makes gauges over what the manager knows; they cost only when scraped.
func newMetrics(registerer prometheus.Registerer, m *Manager) *metrics {
	counters := &metrics{
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_replication_received_bytes_total",
			Help: "Bytes of record batches that this broker has copied as a follower."}),
		isrChanges: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_isr_changes_total",
			Help: "Changes of in-sync replica sets that this broker has asked for as a leader and been granted."}),
	}
	if registerer == nil {
		return counters
	}
	count := func(match func(*Partition) bool) func() float64 {
		return func() float64 {
			n := 0
			for _, p := range m.Partitions() {
				if match(p) {
					n++
				}
			}
			return float64(n)
		}
	}
	registerer.MustRegister(counters.bytesIn, counters.isrChanges,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_partitions_led",
			Help: "Partitions that this broker leads."}, count((*Partition).Leads)),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_partitions",
			Help: "Partitions that have a replica on this broker."}, count(func(*Partition) bool { return true })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_partitions_offline",
			Help: "Partitions whose log on this broker cannot be used."}, count(func(p *Partition) bool { return p.offline.Load() != nil })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_partitions_under_min_isr",
			Help: "Partitions led here with fewer in-sync replicas than min.insync.replicas."}, count(func(p *Partition) bool { return p.Leads() && p.CheckInSync() != nil })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_log_size_bytes",
			Help: "Bytes of all partitions on this broker."}, func() float64 {
			sum := int64(0)
			for _, p := range m.Partitions() {
				sum += p.SizeBytes()
			}
			return float64(sum)
		}),
	)
	return counters
}
