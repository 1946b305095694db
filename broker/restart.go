package broker

import (
	"slices"
	"strconv"

	"github.com/millrace-io/millrace/broker/gateway"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/image"
)

// restartSource answers whether this node may be restarted, and whether it has come back whole.
type restartSource struct{ b *Broker }

// Risks looks at the newest metadata; what it says may be over when it is read.
func (r restartSource) Risks(limit int) gateway.RestartRisks {
	if !r.b.assembled.Load() {
		return gateway.RestartRisks{SingleReplica: []string{}, Unavailable: []string{}, FullAcksRefused: []string{}, AcksOneLost: []string{}}
	}
	img := r.b.metadata.Image()
	risks := restartRisks(img, r.b.cfg.NodeID, limit, r.b.minInSyncReplicas(img), r.b.holdsMoreThanCommitted)
	risks.MetadataReadOnly = losesQuorum(img, r.b.metadata.Quorum(), r.b.cfg.NodeID)
	return risks
}

// Reclaimed is 0 while the broker is fenced.
func (r restartSource) Reclaimed() int {
	if !r.b.assembled.Load() || r.b.lifecycleFault() != nil {
		return 0
	}
	return reclaimed(r.b.metadata.Image(), r.b.cfg.NodeID)
}

// minInSyncReplicas returns the setting of a topic.
func (b *Broker) minInSyncReplicas(img *image.Image) func(*image.Topic) int {
	return func(t *image.Topic) int {
		return int(b.settings.TopicWith(img, t.Config).Int32("min.insync.replicas"))
	}
}

// holdsMoreThanCommitted reports that this broker's log of a partition has records that others may lack.
func (b *Broker) holdsMoreThanCommitted(t *image.Topic, number int32) bool {
	p, err := b.replicas.Partition(t.ID, number)
	return err == nil && p.LogEndOffset() > p.HighWatermark()
}

func restartRisks(img *image.Image, node int32, limit int, minISR func(*image.Topic) int, uncommitted func(*image.Topic, int32) bool) gateway.RestartRisks {
	risks := gateway.RestartRisks{SingleReplica: []string{}, Unavailable: []string{}, FullAcksRefused: []string{}, AcksOneLost: []string{}}
	note := func(list *[]string, t *image.Topic, number int32) {
		if len(*list) < limit {
			*list = append(*list, t.Name+"/"+strconv.Itoa(int(number)))
		}
	}
	for t := range img.AllTopics() {
		least := minISR(t)
		for number, p := range t.Partitions() {
			if !slices.Contains(p.Replicas, node) {
				continue
			}
			inSync := slices.Contains(p.ISR, node)
			switch {
			case len(p.Replicas) == 1:
				note(&risks.SingleReplica, t, number)
				continue
			case inSync && len(p.ISR) == 1:
				note(&risks.Unavailable, t, number)
			}
			if inSync && len(p.ISR)-1 < min(least, len(p.Replicas)) {
				note(&risks.FullAcksRefused, t, number)
			}
			if p.Leader == node && uncommitted(t, number) {
				note(&risks.AcksOneLost, t, number)
			}
		}
	}
	return risks
}

// losesQuorum reports that without the node no majority of voters would be there.
func losesQuorum(img *image.Image, quorum metadata.QuorumState, node int32) bool {
	left, votes := 0, false
	for _, v := range quorum.Voters {
		if v.NodeID == node {
			votes = true
			continue
		}
		if b := img.Broker(v.NodeID); b != nil && !b.Fenced {
			left++
		}
	}
	return votes && left <= len(quorum.Voters)/2
}

// reclaimed is the percentage of the node's replicas that are in sync, among those whose partition has a leader: the others
// wait for somebody else. What is only being copied to it was not there before.
func reclaimed(img *image.Image, node int32) int {
	held, inSync := 0, 0
	for t := range img.AllTopics() {
		for _, p := range t.Partitions() {
			if p.Leader < 0 || !slices.Contains(p.Established(), node) {
				continue
			}
			held++
			if slices.Contains(p.ISR, node) {
				inSync++
			}
		}
	}
	if held == 0 {
		return 100
	}
	return 100 * inSync / held
}
