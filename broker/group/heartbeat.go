package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// heartbeatRequest is a Heartbeat.
type heartbeatRequest struct {
	key  groupKey
	body *kmsg.HeartbeatRequest
}

// heartbeat keeps a session alive and says whether the member must join again. It never touches the log.
func (s *shard) heartbeat(e heartbeatRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	r := kmsg.NewPtrHeartbeatResponse()
	if err := s.heartbeatError(e, now); err != nil {
		r.ErrorCode = err.Code
	} else if g := s.lookup(e.key); g.consumer == nil && g.mayHold(e.body.MemberID) {
		watch := g.news.watch()
		watch.AtMost = millis(g.byID[e.body.MemberID].sessionTimeoutMillis) / 4
		do.replyNow(ticket, &heldHeartbeat{r, watch})
		return
	}
	do.replyNow(ticket, r)
}

func (s *shard) heartbeatError(e heartbeatRequest, now time.Time) *kerr.Error {
	g := s.lookup(e.key)
	if g == nil {
		return kerr.UnknownMemberID
	}
	if g.consumer != nil {
		return s.heartbeatConsumer(g.consumer, e, now)
	}
	if err := g.validate(e.body.MemberID, e.body.InstanceID); err != nil {
		return err
	}
	if e.body.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	m := g.byID[e.body.MemberID]
	s.startSession(g, m, millis(m.sessionTimeoutMillis), now)
	if g.state == preparingRebalance {
		return kerr.RebalanceInProgress
	}
	return nil
}

// mayHold reports whether the answer to a member's heartbeat may wait for news. franz-go does not look up from a heartbeat before that is
// answered: one whose user takes long to give partitions up would join again only then, and the whole group waits for it.
func (g *group) mayHold(memberID string) bool {
	return g.state == stable && !g.byID[memberID].gives && !g.isInTransaction()
}

// isInTransaction reports whether offsets wait for the end of their transaction. Heartbeats are not held back then: franz-go
// sends one before it ends a transaction and waits for the answer, to know that it is a member still.
func (g *group) isInTransaction() bool { return len(g.pending) > 0 }
