package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// metrics counts requests. Children are looked up once, so that counting costs no map access.
type metrics struct {
	requests                                 [128]prometheus.Counter
	seconds                                  [128]prometheus.Observer
	errors                                   *prometheus.CounterVec
	recordsIn, recordBytesIn, recordBytesOut prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer, rows []Row) *metrics {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_requests_total",
		Help: "Kafka requests answered, by API."}, []string{"api"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_request_duration_seconds",
		Help:    "Time from a request being complete in memory to its answer, by API; for waiting requests the wait is in it.",
		Buckets: []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30}}, []string{"api"})
	m := &metrics{
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_request_errors_total",
			Help: "Errors in answers to Produce and Fetch, by API and error code name."}, []string{"api", "error"}),
		recordsIn: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_records_produced_total",
			Help: "Records appended for clients."}),
		recordBytesIn: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_record_bytes_produced_total",
			Help: "Bytes of record batches appended for clients."}),
		recordBytesOut: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_record_bytes_fetched_total",
			Help: "Bytes of record batches sent to clients."}),
	}
	for _, row := range rows {
		name := kmsg.NameForKey(row.Key)
		m.requests[row.Key] = requests.WithLabelValues(name)
		m.seconds[row.Key] = seconds.WithLabelValues(name)
	}
	if registerer != nil {
		registerer.MustRegister(requests, seconds, m.errors, m.recordsIn, m.recordBytesIn, m.recordBytesOut)
	}
	return m
}

func (m *metrics) served(key int16, count int, took time.Duration) {
	m.requests[key].Add(float64(count))
	for range count {
		m.seconds[key].Observe(took.Seconds())
	}
}

// failed counts an error of an answer.
func (m *metrics) failed(api string, code int16) {
	if code == 0 {
		return
	}
	name := "UNKNOWN_SERVER_ERROR"
	if err := kerr.TypedErrorForCode(code); err != nil {
		name = err.Message
	}
	m.errors.WithLabelValues(api, name).Inc()
}
