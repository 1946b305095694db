package server

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what happens on a listener, whatever the requests are.
type metrics struct {
	accepted prometheus.Counter
	refused  *prometheus.CounterVec
	closed   *prometheus.CounterVec
	bytesIn  prometheus.Counter
	bytesOut prometheus.Counter
	panics   prometheus.Counter
	open     prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer, listener string, inputBytes *atomic.Int64) *metrics {
	labels := prometheus.Labels{"listener": listener}
	m := &metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{Name: "millrace_connections", ConstLabels: labels,
			Help: "Open client connections."}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_connections_accepted_total", ConstLabels: labels,
			Help: "Connections accepted."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_connections_refused_total", ConstLabels: labels,
			Help: "Connections closed at once because a limit was reached."}, []string{"limit"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_connections_closed_total", ConstLabels: labels,
			Help: "Connections that ended, by reason."}, []string{"reason"}),
		bytesIn: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_network_received_bytes_total", ConstLabels: labels,
			Help: "Bytes read from clients."}),
		bytesOut: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_network_sent_bytes_total", ConstLabels: labels,
			Help: "Bytes written to clients."}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_handler_panics_total", ConstLabels: labels,
			Help: "Requests whose handler failed in a way that is a fault of Millrace."}),
	}
	if registerer != nil {
		registerer.MustRegister(m.open, m.accepted, m.refused, m.closed, m.bytesIn, m.bytesOut, m.panics,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "millrace_network_read_buffer_bytes", ConstLabels: labels,
				Help: "Bytes in the read buffers of connections; idle connections have none."},
				func() float64 { return float64(inputBytes.Load()) }))
	}
	return m
}
