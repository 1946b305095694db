package sim

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

var errNotLeader = kerr.NotLeaderForPartition

// oracle knows what was committed and holds it against everybody, after every step that could break it:
//
//   - what is committed stays: it lies, durable, on the disk of everybody who is in sync or may lead;
//   - what is acknowledged is committed, where it was said to be;
//   - a leader begins with everything that is committed, and there is one in an epoch;
//   - nobody shows as committed what is not, and no reader is shown less than before by a later leader;
//   - logs are equal below their high watermarks; nobody cuts its log below its own.
type oracle struct {
	w          *World
	partitions []*history
}

// history is what happened to one partition.
type history struct {
	committed []record
	leaders   map[int32]int32 // by epoch
	shown     int64           // the highest high watermark that a reader was shown
	shownIn   int32           // the leader epoch that showed it
	acked     map[int64]int   // offset -> value
}

func newOracle(w *World) *oracle {
	o := &oracle{w: w}
	for range w.cfg.Partitions {
		o.partitions = append(o.partitions, &history{leaders: map[int32]int32{}, acked: map[int64]int{}})
	}
	return o
}

// elected looks at a leader that begins.
func (o *oracle) elected(l *leadership, s isr.State) {
	h := o.partitions[l.partition]
	if other, taken := h.leaders[s.LeaderEpoch]; taken && other != l.n.id {
		o.w.violate("two leaders: nodes %d and %d lead partition %d in epoch %d", other, l.n.id, l.partition, s.LeaderEpoch)
	}
	h.leaders[s.LeaderEpoch] = l.n.id
	if at := o.differs(l.partition, l.log, len(h.committed)); at >= 0 && o.newestEpoch(l.partition) == s.LeaderEpoch {
		o.w.violate("lost: node %d leads partition %d in epoch %d and lacks what is committed from offset %d on (log end %d, committed %d)",
			l.n.id, l.partition, s.LeaderEpoch, at, l.log.end(), len(h.committed))
	}
}

func (o *oracle) newestEpoch(partition int) int32 {
	return o.w.meta.newest().TopicByID(o.w.meta.topic).Partition(int32(partition)).LeaderEpoch
}

// differs returns the first of the first count offsets at which a log is not what is committed, -1 if there is none.
func (o *oracle) differs(partition int, log *plog, count int) int64 {
	h := o.partitions[partition]
	count = min(count, len(h.committed))
	for i := log.compared; i < count; i++ {
		if i >= len(log.records) || log.records[i] != h.committed[i] {
			return int64(i)
		}
		log.compared = i + 1
	}
	if count > len(log.records) {
		return log.end()
	}
	return -1
}

// committed takes note that a leader's high watermark moved.
func (o *oracle) committed(l *leadership, watermark int64) {
	h := o.partitions[l.partition]
	if at := o.differs(l.partition, l.log, int(watermark)); at >= 0 {
		o.w.violate("changed: node %d commits partition %d up to %d in epoch %d, and at offset %d something else is committed", l.n.id, l.partition, watermark, l.core.Epoch(), at)
		return
	}
	if int(watermark) <= len(h.committed) {
		return
	}
	h.committed = append(h.committed, l.log.records[len(h.committed):watermark]...)
	l.log.compared = len(h.committed)
	o.inSync(l.partition)
}

// metadataChanged looks at the in-sync sets after a change of the metadata.
func (o *oracle) metadataChanged() {
	if o.w.meta == nil {
		return
	}
	for i := range o.partitions {
		o.inSync(i)
	}
}

// inSync wants what is committed on the disk of everybody who is in sync, or may lead though it is not (KIP-966).
func (o *oracle) inSync(partition int) {
	t := o.w.meta.newest().TopicByID(o.w.meta.topic)
	if t == nil {
		return
	}
	p, h := t.Partition(int32(partition)), o.partitions[partition]
	for _, id := range slices.Concat(p.ISR, p.ELR) {
		n := o.w.node(id)
		if n == nil || n.wiped {
			continue // its disk is gone, and the cluster does not know it yet
		}
		log := n.logs[partition]
		if at := o.differs(partition, log, len(h.committed)); at >= 0 || log.flushed < len(h.committed) {
			o.w.violate("not in sync: node %d is in the ISR %v or ELR %v of partition %d; committed %d, its log ends at %d, flushed %d, differs at %d",
				id, p.ISR, p.ELR, partition, len(h.committed), log.end(), log.flushed, at)
		}
	}
}

// followed looks at a follower that appended and heard of the high watermark.
func (o *oracle) followed(f *follow) {
	if at := o.differs(f.partition, f.log, int(f.core.HighWatermark)); at >= 0 {
		o.w.violate("not equal: node %d follows partition %d with high watermark %d, and its offset %d is not what is committed", f.n.id, f.partition, f.core.HighWatermark, at)
	}
	if committed := len(o.partitions[f.partition].committed); int(f.core.HighWatermark) > committed {
		o.w.violate("not committed: node %d follows partition %d with high watermark %d of %d", f.n.id, f.partition, f.core.HighWatermark, committed)
	}
}

// cut looks at a follower that is about to truncate.
func (o *oracle) cut(f *follow, end int64) {
	if end < f.core.HighWatermark {
		o.w.violate("cut: node %d cuts partition %d to %d, below its high watermark %d", f.n.id, f.partition, end, f.core.HighWatermark)
	}
}

// showed looks at what a reader was told by a leader: committed records only, and never less than an earlier epoch told.
func (o *oracle) showed(partition int, epoch int32, watermark int64, values []record, from int64) {
	h := o.partitions[partition]
	switch {
	case int(watermark) > len(h.committed):
		o.w.violate("shown too much: partition %d up to %d in epoch %d, committed %d", partition, watermark, epoch, len(h.committed))
	case watermark < h.shown && epoch > h.shownIn:
		o.w.violate("went back: partition %d was shown up to %d in epoch %d and up to %d in epoch %d", partition, h.shown, h.shownIn, watermark, epoch)
	}
	for i, r := range values {
		if o.w.violation == nil && h.committed[from+int64(i)] != r {
			o.w.violate("shown wrong: partition %d offset %d", partition, from+int64(i))
		}
	}
	if watermark > h.shown {
		h.shown, h.shownIn = watermark, epoch
	}
}

// acknowledged looks at an answer to a producer.
func (o *oracle) acknowledged(partition int, offset int64, value int) {
	h := o.partitions[partition]
	h.acked[offset] = value
	if offset >= int64(len(h.committed)) || h.committed[offset].value != value {
		o.w.violate("acknowledged and not committed: value %d at offset %d of partition %d", value, offset, partition)
	}
}

// final wants every replica to be equal at the end.
func (o *oracle) final() {
	for i, h := range o.partitions {
		o.w.Stats.Committed += len(h.committed)
		for _, n := range o.w.nodes {
			p := o.w.meta.newest().TopicByID(o.w.meta.topic).Partition(int32(i))
			if isReplica(p, n.id) && o.differs(i, n.logs[i], len(h.committed)) >= 0 {
				o.w.violate("not equal at the end: node %d partition %d", n.id, i)
			}
		}
	}
}

// converged says whether everything is as it should be after the faults: everybody leads what he should, all replicas are in
// sync and equal, and clients make progress.
func (w *World) converged() bool { return w.unsettled() == "" }

func (w *World) unsettled() string {
	img := w.meta.newest()
	t := img.TopicByID(w.meta.topic)
	if t == nil {
		return "there is no topic yet"
	}
	for b := range img.Brokers() {
		if !b.Active() {
			return fmt.Sprintf("broker %d is not active", b.ID)
		}
	}
	for i, p := range t.Partitions() {
		if p.Leader < 0 || len(p.ISR) != len(p.Replicas) {
			return fmt.Sprintf("partition %d has leader %d and ISR %v of %v", i, p.Leader, p.ISR, p.Replicas)
		}
	}
	if w.txns != nil {
		return w.txns.unsettled()
	}
	for _, c := range w.clients {
		for i, n := range c.calmAcks {
			if n < 5 {
				return fmt.Sprintf("client %d had %d acknowledgements of partition %d since the faults ended", c.id, n, i)
			}
		}
	}
	return ""
}

// describe names the commands of a group, for the trace.
func describe(group command.Group) string {
	text := ""
	for _, c := range group {
		text += fmt.Sprintf(" %T", c)
	}
	return text
}

func partitionOf(img *image.Image, topic image.TopicID, i int) *image.Partition {
	if t := img.TopicByID(topic); t != nil {
		return t.Partition(int32(i))
	}
	return nil
}
