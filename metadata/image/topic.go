package image

import (
	"iter"
	"slices"
)

// Topic is one topic with its partitions. It is immutable: a change makes a new Topic that shares what stayed the same.
type Topic struct {
	ID       TopicID
	Tenant   string
	Name     string
	Internal bool
	Config   map[string]string // overrides by Kafka's names; must not be changed

	partitions partitions
}

// NewTopic makes a topic with its partitions, numbered from 0.
func NewTopic(id TopicID, tenant, name string, internal bool, config map[string]string, parts []*Partition) *Topic {
	t := &Topic{ID: id, Tenant: tenant, Name: name, Internal: internal, Config: config}
	t.partitions = t.partitions.with(parts)
	return t
}

// Partition is the replicated state of one partition. It is immutable once it is part of an image.
type Partition struct {
	Replicas         []int32
	ISR              []int32
	ELR              []int32 // eligible leader replicas (KIP-966)
	LastKnownELR     []int32
	AddingReplicas   []int32
	RemovingReplicas []int32
	Directories      [][16]byte // parallel to Replicas, zeros and empty: not assigned; see LostDirectory
	Leader           int32      // -1: none
	LeaderEpoch      int32      // grows with each change of the leader, and with each restart of it
	PartitionEpoch   int32      // grows with each change of this partition
	RecoveryState    RecoveryState
	Mover            Mover // of a reassignment under way
}

// RecoveryState says whether a leader was elected cleanly, by Kafka's numbers (LeaderRecoveryState, KIP-704).
type RecoveryState int8

// The recovery states.
const (
	Recovered  RecoveryState = 0
	Recovering RecoveryState = 1 // the leader was not known to have every record; it has not said yet that it has dealt with that
)

// Mover says on whose behalf replicas are being reassigned.
type Mover int8

// The movers.
const (
	ByOperator Mover = 0 // by request, or no reassignment is under way
	ByDrain    Mover = 1 // a broker is being drained, or was unregistered
	ByBalance  Mover = 2 // brokers are being balanced
)

// Reassigning reports whether replicas are being added or removed.
func (p *Partition) Reassigning() bool { return len(p.AddingReplicas)+len(p.RemovingReplicas) > 0 }

// Established returns the replicas without those that are being added and have not caught up yet: the partition was never as
// safe as with them, so nobody misses them (Kafka's OngoingReassignmentState).
func (p *Partition) Established() []int32 {
	list := make([]int32, 0, len(p.Replicas))
	for _, id := range p.Replicas {
		if !slices.Contains(p.AddingReplicas, id) || slices.Contains(p.ISR, id) {
			list = append(list, id)
		}
	}
	return list
}

// LostDirectory stands for the log directory of a replica whose log its broker cannot use (Kafka's DirectoryId.LOST).
func LostDirectory() [16]byte { return [16]byte{15: 1} }

// GoneDirectory stands for no directory at all: the replica's log is not there any more, and it begins anew. It is said to
// the controller and is in no image. Ours, of the ids that Kafka keeps for itself (DirectoryId.reserved).
func GoneDirectory() [16]byte { return [16]byte{15: 64} }

// FullDirectory stands for a log directory whose disk is full: the replica cannot grow, and is to be called lost if
// somebody else is in sync. It is said to the controller and is in no image. Ours, as GoneDirectory; a controller that does
// not know it takes it for LostDirectory.
func FullDirectory() [16]byte { return [16]byte{15: 65} }

// CountsOn reports whether anything says that a broker has records of the partition, or had before its log was lost.
func (p *Partition) CountsOn(broker int32) bool {
	return slices.Contains(p.ISR, broker) || slices.Contains(p.ELR, broker) || slices.Contains(p.LastKnownELR, broker) || p.Lost(broker)
}

// Lost reports whether a broker has said that it cannot use its log of the partition.
func (p *Partition) Lost(broker int32) bool {
	if len(p.Directories) == 0 {
		return false
	}
	at := slices.Index(p.Replicas, broker)
	return at >= 0 && at < len(p.Directories) && p.Directories[at] == LostDirectory()
}

// OthersInSync reports whether a replica beside a broker's is in sync and could lead now.
func (i *Image) OthersInSync(p *Partition, broker int32) bool {
	return slices.ContainsFunc(p.ISR, func(id int32) bool { return id != broker && i.Broker(id).Active() && !p.Lost(id) })
}

// LostReplicas lists the brokers that have said that they cannot use their logs of the partition.
func (p *Partition) LostReplicas() (lost []int32) {
	for at, directory := range p.Directories {
		if directory == LostDirectory() && at < len(p.Replicas) {
			lost = append(lost, p.Replicas[at])
		}
	}
	return lost
}

// Throttled reports whether a broker copies the partition on the controller's own account and so within
// millrace.balance.throttle.bytes.per.second.
func (p *Partition) Throttled(broker int32) bool {
	return p.Mover != ByOperator && slices.Contains(p.AddingReplicas, broker)
}

// PartitionCount returns how many partitions the topic has.
func (t *Topic) PartitionCount() int { return t.partitions.count }

// Partition returns the partition, nil when there is none of that number.
func (t *Topic) Partition(i int32) *Partition { return t.partitions.at(i) }

// Partitions walks the partitions in order.
func (t *Topic) Partitions() iter.Seq2[int32, *Partition] {
	return func(yield func(int32, *Partition) bool) {
		for i := range t.partitions.count {
			if !yield(int32(i), t.partitions.at(int32(i))) {
				return
			}
		}
	}
}

// ReplicationFactor returns the number of replicas of partition 0, as Kafka shows it for the topic.
func (t *Topic) ReplicationFactor() int16 {
	if p := t.Partition(0); p != nil {
		return int16(len(p.Replicas))
	}
	return 0
}
