package metadata

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/raft"
)

// Config says what a Node needs. Fixed after Open.
type Config struct {
	Directory string // holds the node's copy of the metadata log; made if it is not there
	NodeID    int32
	ClusterID string            // "": the one in the directory, or a new one at the first start
	Static    map[string]string // broker settings of the node's own configuration, by Kafka's names
	Address   string            // of this node's inter-broker listener; "": there are no other nodes, and no heartbeats
	Streams   Streams           // to and from other nodes; nil: the quorum has no other members

	// InitialVoters or Join says where a node finds its cluster at its first start; later its log knows that.
	InitialVoters []Voter  // all of a new cluster's first voters, the same on every node
	Join          []string // addresses of members of a cluster that is there

	Limits   raft.Limits // of the metadata log; zeros: the defaults
	InMemory bool        // keep everything in memory, nothing outlives Close (Directory is not used)

	// Loads asks every broker how much its replicas hold and are written to, for balancing; what it returns beside an error
	// counts. nil: replicas are balanced by their number.
	Loads      func(context.Context) ([]controller.BrokerLoad, error)
	Clock      func() time.Time
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if c.NodeID < 0 {
		faults = append(faults, errors.New("metadata: NodeID must not be negative"))
	}
	if c.Directory == "" && !c.InMemory {
		faults = append(faults, errors.New("metadata: Directory must name a directory"))
	}
	if c.Streams != nil && c.Address == "" {
		faults = append(faults, errors.New("metadata: Address must say where other nodes reach this one"))
	}
	if c.Streams != nil && len(c.InitialVoters) == 0 && len(c.Join) == 0 {
		faults = append(faults, errors.New("metadata: InitialVoters or Join must say where the cluster is"))
	}
	if c.Clock == nil || c.Logger == nil || c.Registerer == nil {
		faults = append(faults, errors.New("metadata: Clock, Logger and Registerer must be given"))
	}
	return errors.Join(faults...)
}
