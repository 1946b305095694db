package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/server"
)

// heldHeartbeat is the answer to a heartbeat that tells its member nothing new. Members of a group learn of a rebalance or of
// another assignment only by an answer to a heartbeat of theirs, which they send every three to five seconds. So an answer
// without news is kept until there is some, as a Fetch is: a change reaches every member within a round trip, and there are
// no more heartbeats than there were. Whatever else comes on the connection lets the answer go at once, since answers have
// their order; and it is not kept longer than millrace.group.heartbeat.hold.max.ms, which is far below the request timeouts
// of clients, nor longer than the member's session can bear.
type heldHeartbeat struct {
	quietAnswer
	watch *group.Watch
}

// quietAnswer is an answer that may be kept.
type quietAnswer interface {
	kmsg.Response

	// settle makes it the answer that is given: with what was told, if there was news, or after the whole time for which it
	// could be kept. Neither is true when something else came on the connection.
	settle(said *kerr.Error, news, whole bool)
}

// heldAnswer is a heartbeat's answer that a session keeps. Owned by the connection's owner.
type heldAnswer struct {
	answer        quietAnswer // nil: none is kept
	watch         *group.Watch
	correlationID int32
	flexible      bool
	began, until  time.Time
}

// hold keeps an answer where that is possible. Where requests behind it wait already, it goes at once.
func (s *session) hold(w *server.Writer, h *heldHeartbeat, correlationID int32, flexible bool) (held bool, err error) {
	atMost := s.services.heartbeatHold()
	if h.watch.AtMost > 0 {
		atMost = min(atMost, h.watch.AtMost)
	}
	notify := w.Notifier()
	if atMost <= 0 || notify == nil {
		return false, nil
	}
	if err := w.Park(); err != nil {
		return false, err
	}
	if !h.watch.Await(notify) || !w.Suspend(atMost) {
		said, news := h.watch.Told()
		h.watch.Forget()
		w.Unpark()
		h.settle(said, news, false)
		return false, nil
	}
	now := s.services.Clock()
	s.held = heldAnswer{
		answer: h.quietAnswer, watch: h.watch, correlationID: correlationID, flexible: flexible,
		began: now, until: now.Add(atMost),
	}
	return true, nil
}

// letGo gives the answer that is kept: there is news, its time is over, or another request came.
func (s *session) letGo(w *server.Writer) {
	h := s.held
	s.held = heldAnswer{}
	said, news := h.watch.Told()
	h.watch.Forget()
	now := s.services.Clock()
	h.answer.settle(said, news, !now.Before(h.until))
	w.Unpark()
	s.encode(w, h.correlationID, h.flexible, h.answer)
	s.api.metrics.served(h.answer.Key(), 1, now.Sub(h.began))
}

// heartbeatHold is how long an answer may be kept.
func (s *Services) heartbeatHold() time.Duration {
	return time.Duration(s.Settings.Broker(s.Metadata.Image()).Int64("millrace.group.heartbeat.hold.max.ms")) * time.Millisecond
}
