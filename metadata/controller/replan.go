package controller

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

const (
	minISRKey  = "min.insync.replicas"
	uncleanKey = "unclean.leader.election.enable"
)

// checkMinISR keeps min.insync.replicas the same for every broker: the leader holds the high watermark back by it and the
// controller reckons by it who is eligible to lead, so the two must agree (Kafka with eligible leader replicas).
func checkMinISR(r config.Resource, before map[string]string, ops []ConfigOp) error {
	if r.Type != config.BrokerResource {
		return nil
	}
	for _, op := range ops {
		switch {
		case op.Name != minISRKey:
		case r.Name != "":
			return refused(kerr.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
		case op.Op == OpDelete && before[minISRKey] != "":
			return refused(kerr.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
		}
	}
	return nil
}

// withElections adds to changes of settings what they mean for partitions at once: a leader where any may lead now, and
// nobody eligible beside an ISR that is large enough now, for its high watermark goes on without them.
func (c *Controller) withElections(img *image.Image, group command.Group) command.Group {
	var topics []*image.Topic
	all := false
	next, _ := command.Apply(img, img.Index()+1, []command.Group{group}, image.NewChanges())
	for _, one := range group {
		set, ok := one.(command.SetConfig)
		if !ok || !changes(set.Values, minISRKey) && !changes(set.Values, uncleanKey) {
			continue
		}
		if set.Resource.Type == config.TopicResource {
			topics = append(topics, next.Topic(set.Resource.TenantOrDefault(), set.Resource.Name))
		}
		all = all || set.Resource.Type == config.BrokerResource
	}
	d := c.newDraft(next)
	if all {
		topics = nil
		for t := range next.AllTopics() {
			topics = append(topics, t)
		}
	}
	for _, t := range topics {
		d.replan(t)
	}
	return append(group, d.group()...)
}

func changes(values map[string]*string, name string) bool { _, ok := values[name]; return ok }

func (d *draft) replan(t *image.Topic) {
	for i, p := range t.Partitions() {
		if p.Leader < 0 || len(p.ELR) > 0 {
			td := d.topic(t)
			td.put(i, td.change(p, acceptable(d.img, -1, -1)))
		}
	}
}
