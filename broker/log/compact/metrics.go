package compact

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/log"
)

// metrics of a cleaner; DESIGN.md lists them.
type metrics struct {
	rounds, failures, seconds            prometheus.Counter
	mapped, read, written, removed       prometheus.Counter
	maxDirty, delay, lastRun, progressOf *prometheus.Desc
	uncleanable, uncleanableBytes        *prometheus.Desc
	cleaner                              *Cleaner
}

func newMetrics(c *Cleaner, registerer prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_log_cleaner_" + name, Help: help})
	}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("millrace_log_cleaner_"+name, help, labels, nil)
	}
	m := &metrics{
		rounds:           counter("rounds_total", "Cleanings of a log that were finished."),
		failures:         counter("failures_total", "Cleanings of a log that were not finished."),
		seconds:          counter("seconds_total", "Time spent cleaning, waiting for the throttle included."),
		mapped:           counter("mapped_bytes_total", "Bytes read to learn the last offset of each key."),
		read:             counter("read_bytes_total", "Bytes of segments that were rewritten."),
		written:          counter("written_bytes_total", "Bytes that took their place."),
		removed:          counter("removed_bytes_total", "Bytes that compaction took out of logs."),
		maxDirty:         desc("max_dirty_ratio", "Dirty ratio of the dirtiest compacted log."),
		delay:            desc("max_compaction_delay_seconds", "By how much the oldest dirty record is older than max.compaction.lag.ms."),
		lastRun:          desc("since_last_run_seconds", "Time since the cleaner last looked for a log to clean."),
		progressOf:       desc("progress_ratio", "How much of a running cleaning is done.", "topic", "partition"),
		uncleanable:      desc("uncleanable_partitions", "Partitions whose log cannot be compacted, mostly because it is corrupt.", "dir"),
		uncleanableBytes: desc("uncleanable_bytes", "Size of the logs of those partitions.", "dir"),
		cleaner:          c,
	}
	if registerer != nil {
		registerer.MustRegister(m.rounds, m.failures, m.seconds, m.mapped, m.read, m.written, m.removed, m)
	}
	return m
}

// Describe is part of prometheus.Collector.
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.maxDirty, m.delay, m.lastRun, m.progressOf, m.uncleanable, m.uncleanableBytes} {
		to <- d
	}
}

// Collect is part of prometheus.Collector: of what changes while nobody counts.
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	c := m.cleaner
	given := c.Uncleanable()
	for _, d := range c.cfg.Dirs {
		n, size := 0, int64(0)
		for _, u := range given {
			if u.Log.Dir() == d {
				n, size = n+1, size+u.Log.SizeBytes()
			}
		}
		gauge(m.uncleanable, float64(n), d.Path())
		gauge(m.uncleanableBytes, float64(size), d.Path())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	gauge(m.maxDirty, c.states.dirtyRatio)
	gauge(m.delay, float64(c.states.delayMillis)/1000)
	gauge(m.lastRun, c.cfg.Clock().Sub(c.states.lookedAt).Seconds())
	for l, p := range c.states.busy {
		tp := l.TopicPartition()
		gauge(m.progressOf, p.share(), tp.Topic, strconv.Itoa(int(tp.Partition)))
	}
}

// begins shows the progress of a cleaning until give.
func (c *Cleaner) begins(l *log.Log, p *progress) {
	c.mu.Lock()
	c.states.busy[l] = p
	c.mu.Unlock()
}

func (m *metrics) ended(r *round, took time.Duration, err error) {
	m.seconds.Add(took.Seconds())
	m.mapped.Add(float64(r.result.MapBytes))
	m.read.Add(float64(r.result.ReadBytes))
	m.written.Add(float64(r.result.WroteBytes))
	if err != nil {
		m.failures.Inc()
		return
	}
	m.rounds.Inc()
	m.removed.Add(float64(max(0, r.result.ReadBytes-r.result.WroteBytes)))
}
