package scrub

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/log/segment"
	"github.com/millrace-io/millrace/broker/record"
)

type batch = record.Batch

// Damages lists what was found and is not repaired, by partition and offset.
func (s *Scrubber) Damages() []Damage {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Damage, 0, len(s.damages))
	for one, d := range s.damages {
		if !d.Log.Holds(one) {
			delete(s.damages, one) // retention, compaction or the removal of the partition came by
			continue
		}
		list = append(list, d)
	}
	slices.SortFunc(list, func(a, b Damage) int {
		return cmp.Or(cmp.Compare(a.Log.TopicPartition().String(), b.Log.TopicPartition().String()), cmp.Compare(a.Segment.BaseOffset(), b.Segment.BaseOffset()))
	})
	return list
}

// note remembers a damage; it reports whether it is a new one.
func (s *Scrubber) note(d Damage) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.damages[d.Segment]
	s.damages[d.Segment] = d
	return !known
}

func (s *Scrubber) forget(one *segment.Segment) {
	s.mu.Lock()
	delete(s.damages, one)
	s.mu.Unlock()
}

func (s *Scrubber) register() {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_log_scrub_" + name, Help: help})
	}
	s.readBytes = counter("read_bytes_total", "Bytes of sealed segments read to find those that have changed on disk.")
	s.passes = counter("passes_total", "Passes over all sealed segments.")
	s.found = counter("damages_total", "Segments found with bytes that have changed on disk.")
	s.mended = counter("repairs_total", "Segments that were made whole from another replica.")
	if s.cfg.Registerer == nil {
		return
	}
	s.cfg.Registerer.MustRegister(s.readBytes, s.passes, s.found, s.mended)
	for _, dir := range s.cfg.Dirs {
		s.cfg.Registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "millrace_log_damaged_partitions", Help: "Partitions with bytes that have changed on disk.", ConstLabels: prometheus.Labels{"dir": dir.Path()},
		}, func() float64 {
			partitions := map[string]bool{}
			for _, d := range s.Damages() {
				if d.Log.Dir() == dir {
					partitions[d.Log.TopicPartition().String()] = true
				}
			}
			return float64(len(partitions))
		}))
	}
}
