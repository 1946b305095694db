package controller

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// ElectionType says what ElectLeaders asks for, by Kafka's number.
type ElectionType int8

// The types of elections.
const (
	PreferredElection ElectionType = 0 // give the lead to the first replica
	UncleanElection   ElectionType = 1 // let any replica lead where nobody does, at the price of lost records
)

// TopicPartitions names partitions of one topic.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}

// PartitionOutcome is what became of one partition of a request.
type PartitionOutcome struct {
	Topic     string
	Partition int32
	Err       error // a *Refusal
}

// maxElectionsPerRound bounds what an election that nobody asked for changes at once (MAX_ELECTIONS_PER_IMBALANCE).
const maxElectionsPerRound = 1000

// ElectLeaders plans elections (ReplicationControlManager.electLeaders). nil stands for every partition of the tenant; then
// those that need none are left out of the answer.
func (c *Controller) ElectLeaders(img *image.Image, tenant string, kind ElectionType, of []TopicPartitions) ([]PartitionOutcome, command.Group, error) {
	if kind != PreferredElection && kind != UncleanElection {
		return nil, nil, refused(kerr.InvalidRequest, fmt.Sprintf("Unknown election type %d", kind))
	}
	d := c.newDraft(img)
	outcomes := []PartitionOutcome{}
	if of == nil {
		for t := range img.Topics(tenant) {
			for i := range t.Partitions() {
				if err := d.electLeader(t, t.Name, i, kind); err == nil || err.Err != kerr.ElectionNotNeeded {
					outcomes = append(outcomes, PartitionOutcome{t.Name, i, errorOf(err)})
				}
			}
		}
		return outcomes, d.group(), nil
	}
	for _, one := range of {
		t := img.Topic(tenant, one.Topic)
		for _, i := range one.Partitions {
			outcomes = append(outcomes, PartitionOutcome{one.Topic, i, errorOf(d.electLeader(t, one.Topic, i, kind))})
		}
	}
	return outcomes, d.group(), nil
}

func errorOf(r *Refusal) error {
	if r == nil {
		return nil
	}
	return r
}

func (d *draft) electLeader(t *image.Topic, name string, i int32, kind ElectionType) *Refusal {
	if t == nil {
		return refused(kerr.UnknownTopicOrPartition, "No such topic as "+name)
	}
	td := d.topic(t)
	p := td.partition(i)
	switch {
	case p == nil:
		return refused(kerr.UnknownTopicOrPartition, fmt.Sprintf("No such partition as %s-%d", name, i))
	case kind == PreferredElection && p.Leader == p.Replicas[0], kind == UncleanElection && p.Leader >= 0:
		return refused(kerr.ElectionNotNeeded, "Leader election not needed for topic partition.")
	}
	change := newPartitionChange(p, td.minISR, acceptable(d.img, -1, -1))
	if change.election = electPreferred; kind == UncleanElection {
		change.election = electUnclean
	}
	switch {
	case td.put(i, change):
		return nil
	case kind == PreferredElection:
		return refused(kerr.PreferredLeaderNotAvailable, "The preferred leader was not available.")
	}
	return refused(kerr.EligibleLeadersNotAvailable, "Eligible topic partition leaders are not available.")
}

// BalanceLeaders plans to give leaderships back to preferred replicas (maybeBalancePartitionLeaders); more reports that
// there is as much again to do. A broker that is drained gets none back.
func (c *Controller) BalanceLeaders(img *image.Image) (group command.Group, more bool) {
	d := c.newDraft(img)
	drained := Drained(img)
	active := acceptable(img, -1, -1)
	displaced := func(p *image.Partition) bool {
		return p.Leader != p.Replicas[0] && active(p.Replicas[0]) && !drained[p.Replicas[0]] && d.count() < maxElectionsPerRound
	}
	d.each(displaced, func(td *topicDraft, i int32, p *image.Partition) {
		change := newPartitionChange(p, td.minISR, active)
		change.election = electPreferred
		td.put(i, change)
	})
	return d.group(), d.count() >= maxElectionsPerRound
}

// ElectUncleanLeaders plans leaders for partitions without one whose topics allow any (maybeElectUncleanLeaders).
func (c *Controller) ElectUncleanLeaders(img *image.Image) (group command.Group, more bool) {
	d := c.newDraft(img)
	leaderless := func(p *image.Partition) bool { return p.Leader < 0 && d.count() < maxElectionsPerRound }
	d.each(leaderless, func(td *topicDraft, i int32, p *image.Partition) {
		if td.unclean {
			td.put(i, td.change(p, acceptable(img, -1, -1)))
		}
	})
	return d.group(), d.count() >= maxElectionsPerRound
}
