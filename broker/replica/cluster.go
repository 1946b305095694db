package replica

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Leaders reaches the brokers that this one follows.
type Leaders interface {
	// Dial opens a connection of one's own to a broker.
	Dial(ctx context.Context, nodeID int32) (Leader, error)
	// Do asks a broker on a connection that is shared with others.
	Do(ctx context.Context, nodeID int32, req kmsg.Request) (kmsg.Response, error)
}

// Leader is a connection to a broker; one request at a time.
type Leader interface {
	// DoInto reads the answer into buf, which may grow and is returned in any case; resp aliases it. It ends in about so long.
	DoInto(req kmsg.Request, resp kmsg.Response, buf []byte, patience time.Duration) ([]byte, error)
	// Close also ends a request that is under way.
	Close() error
}

// Controller is asked for changes of in-sync sets.
type Controller interface {
	// AlterPartition asks the controller of the moment. An error says that nothing is known of the outcome.
	AlterPartition(ctx context.Context, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error)
}

// Cluster is what a Manager needs of the other brokers. The zero value is a broker that is alone.
type Cluster struct {
	Leaders     Leaders             // nil: nobody is followed
	Controller  Controller          // nil: nothing is proposed
	BrokerEpoch func() int64        // of this broker's registration, -1 before it
	SessionHeld func() bool         // reports that no controller can have let others lead without this broker hearing of it; nil: there is none
	Gone        func(id int32) bool // reports, without waiting, that a broker has no process any more; nil: nobody knows
	Deposed     func() bool         // the controller has ended all leaderships here, and this broker's image does not say so; nil: never
	Offline     func()              // called, and must not wait, after a partition went offline, or a directory is full or has room again; nil: nobody wants to know

	MaxLag           time.Duration // replica.lag.time.max.ms; default 30 s
	Fetchers         int           // num.replica.fetchers, for each leader and class; default 1
	FetchWait        time.Duration // replica.fetch.wait.max.ms; default 500 ms
	FetchBackoff     time.Duration // replica.fetch.backoff.ms: the longest pause after failures; default 1 s
	FetchMaxBytes    int           // replica.fetch.max.bytes, of one partition; default 1 MiB
	ResponseMaxBytes int           // replica.fetch.response.max.bytes; default 10 MiB
	RackAware        bool          // replica.selector.class is Kafka's RackAwareReplicaSelector
}

func (c *Cluster) setDefaults() {
	orDefault(&c.MaxLag, 30*time.Second)
	orDefault(&c.Fetchers, 1)
	orDefault(&c.FetchWait, 500*time.Millisecond)
	orDefault(&c.FetchBackoff, time.Second)
	orDefault(&c.FetchMaxBytes, 1<<20)
	orDefault(&c.ResponseMaxBytes, 10<<20)
	if c.BrokerEpoch == nil {
		c.BrokerEpoch = func() int64 { return -1 }
	}
}

func orDefault[N int | time.Duration](v *N, byDefault N) {
	if *v <= 0 {
		*v = byDefault
	}
}
