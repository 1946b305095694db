package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// Who leaves a group says so once. librdkafka does not look at the answer (rd_kafka_cgrp_handle_ConsumerGroupHeartbeat_leave),
// nor does the Java client with the consumer protocol wait for it. If the coordinator has just moved, or loads the group, the group of
// a member that is gone would wait for its session to end, and a static member could not come back before. So the broker that
// was asked passes the request on to the coordinator, in an Envelope with the member's identity, or asks itself again where it is
// the coordinator. Kafka answers NOT_COORDINATOR or COORDINATOR_LOAD_IN_PROGRESS.

const (
	// passOnTimeout bounds how long the next coordinator may take to load the group.
	passOnTimeout = time.Second
	passOnPause   = 10 * time.Millisecond
)

// heardOf answers the request of a member that leaves: by what here says, unless nobody coordinates the group here, or not
// yet. Such a request that was passed on to this broker is answered at once. To leave twice does no harm.
func (s *Services) heardOf(c *Call, group string, request kmsg.Request, here func() kmsg.Response) kmsg.Response {
	answer := here()
	if c.ForController || !coordinatesNothing(answer) {
		return answer
	}
	ctx, cancel := context.WithTimeout(c.Context, passOnTimeout)
	defer cancel()
	again := time.NewTicker(passOnPause)
	defer again.Stop()
	for {
		topic := s.Metadata.Image().Topic(security.DefaultTenant, groupMetadataTopic)
		leader, fault := s.leaderOf(topic, s.Groups.PartitionFor(c.Identity.Tenant, group))
		switch {
		case fault != nil:
		case leader == s.NodeID:
			answer = here()
		case s.Peers != nil:
			if passed, err := s.sendEnvelope(ctx, c, request, leader); err == nil {
				answer = passed
			}
		}
		if !coordinatesNothing(answer) {
			return answer
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return answer
		}
	}
}

// coordinatesNothing reports whether the group was not asked: its coordinator is elsewhere, or has not loaded it.
func coordinatesNothing(answer kmsg.Response) bool {
	return says(answer, kerr.NotCoordinator.Code) || says(answer, kerr.CoordinatorLoadInProgress.Code)
}
