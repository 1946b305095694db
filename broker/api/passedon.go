package api

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// Who leaves a group says so once. librdkafka does not look at the answer (rd_kafka_cgrp_handle_ConsumerGroupHeartbeat_leave),
// nor does the Java client with the consumer protocol wait for it. If the coordinator has just moved, the group of a member
// that is gone would wait for its session to end, and a static member could not come back before. So the broker that was
// asked passes the request on to the coordinator, in an Envelope with the member's identity. Kafka answers NOT_COORDINATOR.

const (
	// passOnTimeout bounds how long the next coordinator may take to load the group.
	passOnTimeout = time.Second
	passOnPause   = 10 * time.Millisecond
)

// passedOn has the coordinator of a group answer the request of a member that leaves; nil: it did not in time, or this
// broker is the one that such a request was passed on to. To leave twice does no harm.
func (s *Services) passedOn(c *Call, group string, request kmsg.Request) kmsg.Response {
	if s.Peers == nil || c.ForController {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.Context, passOnTimeout)
	defer cancel()
	timer := time.NewTicker(passOnPause)
	defer timer.Stop()
	for {
		topic := s.Metadata.Image().Topic(security.DefaultTenant, groupMetadataTopic)
		leader, fault := s.leaderOf(topic, s.Groups.PartitionFor(c.Identity.Tenant, group))
		if fault == nil && leader == s.NodeID {
			return nil
		}
		if fault == nil {
			answer, err := s.sendEnvelope(ctx, c, request, leader)
			if err == nil && !says(answer, kerr.NotCoordinator.Code) && !says(answer, kerr.CoordinatorLoadInProgress.Code) {
				return answer
			}
		}
		select {
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}
