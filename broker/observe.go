package broker

import (
	"errors"
	"fmt"

	"github.com/millrace-io/millrace/broker/gateway"
)

// gatewayConfig says what the HTTP listener shows of this node. It answers before the node is put together.
func (b *Broker) gatewayConfig() gateway.Config {
	store := gateway.Check{Name: "metadata_store", Fault: b.once(func() error { return b.metadata.Err() })}
	return gateway.Config{
		Listener: b.httpListener, Logger: b.logger, Version: b.cfg.Version, NodeID: b.cfg.NodeID, ClusterID: b.clusterID,
		Gatherer: b.registry, Registerer: b.registry, Live: []gateway.Check{store},
		Ready: []gateway.Check{
			{Name: "start", Fault: b.startFault},
			{Name: "metadata_leader", Fault: b.once(b.leaderFault)},
			{Name: "registration", Fault: b.once(b.lifecycleFault)},
			{Name: "metadata_space", Fault: b.once(b.spaceFault)},
			{Name: "log_directories", Fault: b.once(b.directoryFault)},
			{Name: "log_data", Fault: b.once(b.dataFault), Warns: true},
			store,
		},
		Lag: lagSource{b}, Restart: restartSource{b},
	}
}

// once makes a check that is content until the node is put together, which is another check's business.
func (b *Broker) once(fault func() error) func() error {
	return func() error {
		if !b.assembled.Load() {
			return nil
		}
		return fault()
	}
}

func (b *Broker) clusterID() string {
	if !b.assembled.Load() {
		return b.cfg.ClusterID
	}
	return b.metadata.ClusterID()
}

// startFault is there until clients are served.
func (b *Broker) startFault() error {
	if !b.serving.Load() {
		return b.withStrangers(errors.New("the node is starting"))
	}
	return nil
}

// withStrangers adds to a fault that other nodes refuse this one, which is the likely cause.
func (b *Broker) withStrangers(fault error) error {
	if b.company == nil {
		return fault
	}
	if why := b.company.strangers.fault(); why != nil {
		return fmt.Errorf("%w: %w", fault, why)
	}
	return fault
}

// lifecycleFault says why the controller would not have clients come here.
func (b *Broker) lifecycleFault() error {
	if b.company != nil && b.company.lifecycle.Fenced() {
		return b.withStrangers(errors.New("the broker is fenced: the controller has not let it serve, or does not hear of it"))
	}
	return nil
}

func (b *Broker) leaderFault() error {
	if _, ok := b.metadata.Leader(); !ok {
		return b.withStrangers(errors.New("the metadata quorum has no leader that this node knows"))
	}
	return nil
}

func (b *Broker) spaceFault() error {
	if b.metadata.Full() {
		return errors.New("the disk that holds the metadata log is full: this broker knows only what was so before")
	}
	return nil
}

func (b *Broker) directoryFault() error {
	var faults []error
	for _, dir := range b.leftOut {
		faults = append(faults, dir.err)
	}
	for _, dir := range b.dirs {
		if err := dir.Err(); err != nil || !dir.Full() {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, fmt.Errorf("log directory %s is full: appends are refused until there is space", dir.Path()))
	}
	return errors.Join(faults...)
}

// dataFault names what is wrong on the disks without keeping clients away: segments whose bytes have changed, and logs that
// are not compacted any more.
func (b *Broker) dataFault() error {
	var faults []error
	for _, d := range b.replicas.Damages() {
		faults = append(faults, fmt.Errorf("partition %s: %w (not repaired: %v)", d.Log.TopicPartition(), d.Fault, d.Kept))
	}
	for _, u := range b.replicas.Uncleanable() {
		faults = append(faults, fmt.Errorf("partition %s is not compacted: %w", u.Log.TopicPartition(), u.Reason))
	}
	const shown = 5
	if len(faults) > shown {
		faults = append(faults[:shown], fmt.Errorf("and %d more", len(faults)-shown))
	}
	return errors.Join(faults...)
}
