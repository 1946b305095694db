package image

import "slices"

// Bits that say which lists a partition has beside its replicas. Most have none, and an in-sync set that equals the
// replicas is not written again.
const (
	partitionHasISR = 1 << iota
	partitionHasELR
	partitionHasLastKnownELR
	partitionHasAdding
	partitionHasRemoving
	partitionHasDirectories
	partitionRecovering // since version 2, as are the next two
	partitionByDrain
	partitionByBalance
	partitionBits
)

// Partition appends the state of one partition.
func (e *Encoder) Partition(p *Partition) {
	bits := uint64(0)
	mark := func(bit uint64, present bool) {
		if present {
			bits |= bit
		}
	}
	mark(partitionHasISR, !slices.Equal(p.ISR, p.Replicas))
	mark(partitionHasELR, len(p.ELR) > 0)
	mark(partitionHasLastKnownELR, len(p.LastKnownELR) > 0)
	mark(partitionHasAdding, len(p.AddingReplicas) > 0)
	mark(partitionHasRemoving, len(p.RemovingReplicas) > 0)
	mark(partitionHasDirectories, len(p.Directories) > 0)
	mark(partitionRecovering, p.RecoveryState == Recovering)
	mark(partitionByDrain, p.Mover == ByDrain)
	mark(partitionByBalance, p.Mover == ByBalance)
	e.Uint(bits)
	e.Int32s(p.Replicas)
	for i, list := range [][]int32{p.ISR, p.ELR, p.LastKnownELR, p.AddingReplicas, p.RemovingReplicas} {
		if bits&(1<<i) != 0 {
			e.Int32s(list)
		}
	}
	if bits&partitionHasDirectories != 0 {
		e.IDs(p.Directories)
	}
	e.Int(int64(p.Leader))
	e.Int(int64(p.LeaderEpoch))
	e.Int(int64(p.PartitionEpoch))
}

// minPartitionBytes is the least that a partition takes: bits, no replicas, leader and two epochs.
const minPartitionBytes = 5

// Partition reads the state of one partition. Lists that equal those of like share its memory: most partitions of a
// topic have the same few replica lists.
func (d *Decoder) Partition(like *Partition) *Partition {
	p := new(Partition)
	bits := d.Uint()
	if bits >= partitionBits || bits&partitionByDrain != 0 && bits&partitionByBalance != 0 {
		d.fail("unknown part of a partition")
	}
	p.Replicas = d.Int32s()
	if like != nil && slices.Equal(like.Replicas, p.Replicas) {
		p.Replicas = like.Replicas
	}
	p.ISR = p.Replicas
	for i, list := range []*[]int32{&p.ISR, &p.ELR, &p.LastKnownELR, &p.AddingReplicas, &p.RemovingReplicas} {
		if bits&(1<<i) != 0 {
			*list = d.Int32s()
		}
	}
	if bits&partitionHasDirectories != 0 {
		p.Directories = d.IDs()
	}
	p.Leader, p.LeaderEpoch, p.PartitionEpoch = d.Int32(), d.Int32(), d.Int32()
	if bits&partitionRecovering != 0 {
		p.RecoveryState = Recovering
	}
	switch {
	case bits&partitionByDrain != 0:
		p.Mover = ByDrain
	case bits&partitionByBalance != 0:
		p.Mover = ByBalance
	}
	return p
}

// PartitionList appends a count and the partitions.
func (e *Encoder) PartitionList(parts []*Partition) {
	e.Uint(uint64(len(parts)))
	for _, p := range parts {
		e.Partition(p)
	}
}

// PartitionList reads a count and the partitions.
func (d *Decoder) PartitionList() []*Partition {
	n := d.Count(minPartitionBytes)
	parts := make([]*Partition, 0, n)
	var like *Partition
	for range n {
		like = d.Partition(like)
		parts = append(parts, like)
	}
	return parts
}

// Topic appends a topic with its partitions.
func (e *Encoder) Topic(t *Topic) {
	e.ID(t.ID)
	e.String(t.Tenant)
	e.String(t.Name)
	e.Bool(t.Internal)
	e.Map(t.Config)
	e.Uint(uint64(t.PartitionCount()))
	for _, p := range t.Partitions() {
		e.Partition(p)
	}
}

// Topic reads a topic with its partitions.
func (d *Decoder) Topic() *Topic {
	id, tenant, name, internal, config := d.ID(), d.String(), d.String(), d.Bool(), d.Map()
	parts := d.PartitionList()
	if d.err != nil {
		return nil
	}
	return NewTopic(id, tenant, name, internal, config, parts)
}

// What a broker's state says. Version 1 had a boolean, which had the same bytes.
const (
	brokerFenced = 1 << iota
	brokerInControlledShutdown
	brokerBits
)

// Broker appends a registration.
func (e *Encoder) Broker(b *Broker) {
	e.Uint(uint64(uint32(b.ID)))
	e.ID(b.Incarnation)
	e.Int(b.Epoch)
	e.BrokerState(b.Fenced, b.InControlledShutdown)
	e.String(b.Rack)
	e.Uint(uint64(len(b.Listeners)))
	for _, l := range b.Listeners {
		e.String(l.Name)
		e.String(l.Host)
		e.Int(int64(l.Port))
		e.String(l.SecurityProtocol)
	}
	e.IDs(b.Directories)
}

// Broker reads a registration.
func (d *Decoder) Broker() *Broker {
	id := d.Uint()
	if id > 1<<31-1 {
		d.fail("broker id out of range")
	}
	b := &Broker{ID: int32(id), Incarnation: d.ID(), Epoch: d.Int()}
	b.Fenced, b.InControlledShutdown = d.BrokerState()
	b.Rack = d.String()
	for range d.Count(4) {
		b.Listeners = append(b.Listeners, Listener{Name: d.String(), Host: d.String(), Port: d.Int32(), SecurityProtocol: d.String()})
	}
	b.Directories = d.IDs()
	return b
}

// BrokerState appends the state of a broker, one byte.
func (e *Encoder) BrokerState(fenced, inControlledShutdown bool) {
	bits := uint64(0)
	if fenced {
		bits |= brokerFenced
	}
	if inControlledShutdown {
		bits |= brokerInControlledShutdown
	}
	e.Uint(bits)
}

// BrokerState reads the state of a broker.
func (d *Decoder) BrokerState() (fenced, inControlledShutdown bool) {
	bits := d.Uint()
	if bits >= brokerBits {
		d.fail("unknown state of a broker")
	}
	return bits&brokerFenced != 0, bits&brokerInControlledShutdown != 0
}
