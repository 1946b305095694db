package broker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/metadata/image"
)

// census counts, at each scrape, what the metadata says of partitions and brokers. What concerns the whole cluster is told
// by the controller; it is 0 elsewhere, so that a sum over all nodes is right.
type census struct {
	b *Broker

	underReplicated, reassigning, offline, fenced, active, controller *prometheus.Desc
}

func newCensus(b *Broker) *census {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &census{
		b:               b,
		underReplicated: desc("millrace_partitions_under_replicated", "Partitions led here of which not every replica is in sync; one that is being added does not count before it is."),
		reassigning:     desc("millrace_partitions_reassigning", "Partitions led here whose replicas are being moved."),
		offline:         desc("millrace_controller_offline_partitions", "Partitions of the cluster without a leader; 0 where this node is not the controller."),
		fenced:          desc("millrace_controller_fenced_brokers", "Registered brokers that are fenced; 0 where this node is not the controller."),
		active:          desc("millrace_controller_active_brokers", "Brokers that are not fenced; 0 where this node is not the controller."),
		controller:      desc("millrace_controller_active", "1 on the node that is the controller, else 0."),
	}
}

// Describe implements prometheus.Collector.
func (c *census) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.underReplicated, c.reassigning, c.offline, c.fenced, c.active, c.controller} {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (c *census) Collect(metrics chan<- prometheus.Metric) {
	if !c.b.assembled.Load() {
		return
	}
	img := c.b.metadata.Image()
	count := countPartitions(img, c.b.cfg.NodeID)
	var fenced, active, controller int
	if c.b.metadata.IsController() {
		controller = 1
		for b := range img.Brokers() {
			if b.Fenced {
				fenced++
			} else {
				active++
			}
		}
	} else {
		count.offline = 0
	}
	for _, one := range []struct {
		desc  *prometheus.Desc
		value int
	}{
		{c.underReplicated, count.underReplicated}, {c.reassigning, count.reassigning}, {c.offline, count.offline},
		{c.fenced, fenced}, {c.active, active}, {c.controller, controller},
	} {
		metrics <- prometheus.MustNewConstMetric(one.desc, prometheus.GaugeValue, float64(one.value))
	}
}

// partitionCount is what a walk over the partitions found.
type partitionCount struct {
	underReplicated, reassigning int // of those that the node leads
	offline                      int // of the whole cluster
}

func countPartitions(img *image.Image, node int32) (count partitionCount) {
	for t := range img.AllTopics() {
		for _, p := range t.Partitions() {
			if p.Leader < 0 {
				count.offline++
			}
			if p.Leader != node {
				continue
			}
			if len(p.ISR) < len(p.Established()) {
				count.underReplicated++
			}
			if len(p.AddingReplicas)+len(p.RemovingReplicas) > 0 {
				count.reassigning++
			}
		}
	}
	return count
}
