package log

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of one log directory; a nil *metrics counts nothing.
type metrics struct {
	registerer    prometheus.Registerer
	flushDuration prometheus.Histogram
	flushedLogs   prometheus.Counter
	tornBytes     prometheus.Counter
	refusedWrites prometheus.Counter
	collectors    []prometheus.Collector
}

func newMetrics(d *Dir, registerer prometheus.Registerer) *metrics {
	if registerer == nil {
		return nil
	}
	labels := prometheus.Labels{"dir": d.path}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels}, value)
	}
	m := &metrics{
		registerer: registerer,
		flushDuration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "millrace_log_flush_duration_seconds", Help: "Time of one group commit.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 12),
		}),
		flushedLogs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "millrace_log_flushed_logs_total", Help: "Logs made durable by group commits.", ConstLabels: labels,
		}),
		tornBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "millrace_log_torn_bytes_total", Help: "Bytes cut off unflushed tails after an unclean stop.", ConstLabels: labels,
		}),
		refusedWrites: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "millrace_log_refused_appends_total", Help: "Appends that were refused because the disk is full.", ConstLabels: labels,
		}),
	}
	m.collectors = []prometheus.Collector{
		m.flushDuration, m.flushedLogs, m.tornBytes, m.refusedWrites,
		OfflineGauge(d.path, func() bool { return d.Err() != nil }),
		gauge("millrace_log_dir_full", "1 from when the disk has refused an append until it has room again.", func() float64 { return oneIf(d.Full()) }),
		gauge("millrace_log_dir_free_bytes", "Free space on the disk of the log directory.", func() float64 {
			free, err := d.fs.FreeBytes(d.path)
			if err != nil {
				return math.NaN()
			}
			return float64(free)
		}),
		gauge("millrace_log_open_files", "Segment files that are open.", func() float64 { return float64(d.files.OpenCount()) }),
		gauge("millrace_log_index_cache_bytes", "Memory of the indexes of sealed segments.", func() float64 { return float64(d.indexes.SizeBytes()) }),
	}
	for _, c := range m.collectors {
		registerer.MustRegister(c)
	}
	return m
}

// OfflineGauge tells whether a log directory is offline; the caller has it for one that it could not open.
func OfflineGauge(path string, offline func() bool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "millrace_log_dir_offline", Help: "1 when the log directory is offline.", ConstLabels: prometheus.Labels{"dir": path},
	}, func() float64 { return oneIf(offline()) })
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func (m *metrics) unregister() {
	if m == nil {
		return
	}
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}

func (m *metrics) flushed(took time.Duration, logs int) {
	if m == nil {
		return
	}
	m.flushDuration.Observe(took.Seconds())
	m.flushedLogs.Add(float64(logs))
}

func (m *metrics) refused() {
	if m != nil {
		m.refusedWrites.Inc()
	}
}

func (m *metrics) torn(bytes int64) {
	if m != nil {
		m.tornBytes.Add(float64(bytes))
	}
}
