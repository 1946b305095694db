package replica

import "github.com/prometheus/client_golang/prometheus"

// registerMetrics makes gauges over what the manager knows; they cost only when scraped.
func registerMetrics(registerer prometheus.Registerer, m *Manager) {
	if registerer == nil {
		return
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
	registerer.MustRegister(
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
}
