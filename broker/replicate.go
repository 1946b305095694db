package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/peer"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/metadata/config"
)

// replicaCluster is what replicas need of the other brokers; the zero value for a node that is alone.
func (c *company) replicaCluster(settings config.Effective) replica.Cluster {
	if c == nil {
		return replica.Cluster{}
	}
	millis := func(name string) time.Duration { return time.Duration(settings.Int64(name)) * time.Millisecond }
	return replica.Cluster{
		Leaders: leaders{c.pool}, Controller: c, BrokerEpoch: c.epoch, Offline: c.lost.wake,
		Deposed: func() bool { return c.lifecycle.Fenced() && c.b.metadata.Full() },
		// Who cannot store metadata does not hear who succeeds it, whether its session is held or not.
		SessionHeld: func() bool { return c.lifecycle.Held() && !c.b.metadata.Full() }, Gone: c.absences.Gone,
		MaxLag: millis("replica.lag.time.max.ms"), FetchWait: millis("replica.fetch.wait.max.ms"), FetchBackoff: millis("replica.fetch.backoff.ms"),
		Fetchers: int(settings.Int32("num.replica.fetchers")), FetchMaxBytes: int(settings.Int32("replica.fetch.max.bytes")),
		ResponseMaxBytes: int(settings.Int32("replica.fetch.response.max.bytes")),
		RackAware:        settings.String("replica.selector.class") == config.RackAwareReplicaSelector,
	}
}

// leaders are the brokers that this one follows, by the connections to them.
type leaders struct{ *peer.Pool }

// Dial implements replica.Leaders.
func (l leaders) Dial(ctx context.Context, nodeID int32) (replica.Leader, error) {
	conn, err := l.Pool.Dial(ctx, nodeID)
	if err != nil { // a nil *peer.Conn must not become a Leader
		return nil, err
	}
	return conn, nil
}

// AlterPartition implements replica.Controller.
func (c *company) AlterPartition(ctx context.Context, request *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	return askController[*kmsg.AlterPartitionResponse](ctx, c, request)
}

// askController asks the controller, once there is one.
func askController[R kmsg.Response](ctx context.Context, c *company, request kmsg.Request) (answer R, err error) {
	controller, known, changed := c.b.metadata.WatchLeader()
	for !known {
		select {
		case <-changed:
			controller, known, changed = c.b.metadata.WatchLeader()
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
	response, err := c.pool.Do(ctx, controller, request)
	if err != nil {
		return answer, err
	}
	answer, ok := response.(R)
	if !ok {
		return answer, fmt.Errorf("broker %d answered a %T with a %T", controller, request, response)
	}
	return answer, nil
}
