package api

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
)

const (
	// A decoded request that may take less than this is not counted against the memory budget.
	unbudgetedBytes = 256 << 10
	// A Produce or Fetch that names up to so many topics and partitions is not counted against it.
	unbudgetedElements = 4096
)

type rowsByKey [128]*Row

// API makes the sessions of connections. One per broker.
type API struct {
	services *Services
	rows     rowsByKey // of the listener between brokers: every row
	clients  rowsByKey // of the listeners of clients
	metrics  *metrics
	fetches  *fetchSessions
	codecs   record.Codecs
}

// New prepares the table for the given services.
func New(services *Services) *API {
	if services.rows == nil { // the listeners of a broker share it
		services.rows = Table()
		for i := range services.rows {
			services.rows[i].guard = newGuard(&services.rows[i])
		}
	}
	if services.MemoryBudget == nil {
		services.MemoryBudget = server.NewBudget(400 << 20)
	}
	if services.MaxFetchSessions == 0 {
		services.MaxFetchSessions = 1000
	}
	if services.MaxFetchBytes == 0 {
		services.MaxFetchBytes = 55 << 20
	}
	a := &API{services: services, metrics: newMetrics(services.Registerer, services.rows)}
	a.fetches = newFetchSessions(services.MaxFetchSessions, services.Registerer)
	for i := range services.rows {
		row := &services.rows[i]
		a.rows[row.Key] = row
		if !row.Internal {
			a.clients[row.Key] = row
		}
	}
	return a
}

// NewSession returns the session of a new connection.
func (a *API) NewSession(peer *server.Peer) server.Session {
	rows := &a.clients
	if a.services.isInternal(peer) {
		rows = &a.rows
	}
	return &session{api: a, services: a.services, rows: rows, call: Call{Peer: peer}, waiter: replica.NewWaiter(), check: record.Validator{Codecs: &a.codecs}}
}

// session handles the requests of one connection. Owned by that connection's goroutine.
type session struct {
	api      *API
	services *Services
	rows     *rowsByKey // that the connection's listener speaks
	call     Call
	waiter   *replica.Waiter
	timer    *time.Timer // nil until first used
	produce  produceStage
	fetch    fetchState
	follower *replica.FollowerSession // of the broker that follows this one on this connection; nil: none does
	held     heldAnswer               // of a heartbeat without news
	hinted   []int32                  // leaders that the answer being written names; empty between answers
	check    record.Validator
}

// Handle answers a request, or stages it when it is a Produce.
func (s *session) Handle(req *server.Request, w *server.Writer) error {
	row := s.row(req.Key)
	if !s.services.admitted(&s.call, row) {
		return s.refuse(req, "no such API for this client")
	}
	if req.Version < row.MinVersion || req.Version > row.MaxVersion {
		if req.Key == int16(kmsg.ApiVersions) {
			if err := s.Settle(w); err != nil {
				return err
			}
			s.encode(w, req.CorrelationID, false, unsupportedApiVersions())
			return w.Flush()
		}
		return s.refuse(req, fmt.Sprintf("versions %d to %d are spoken", row.MinVersion, row.MaxVersion))
	}
	if kmsg.Key(req.Key) == kmsg.Produce {
		return s.stageProduce(req)
	}
	if err := s.Settle(w); err != nil {
		return err
	}
	start := s.services.Clock()
	var err error
	if kmsg.Key(req.Key) == kmsg.Fetch {
		s.fetch.began = start
		if err = s.handleFetch(req, w); s.fetch.suspended {
			return err
		}
	} else {
		if err = s.handleDecoded(row, req, w); s.held.answer != nil {
			return err
		}
	}
	s.api.metrics.served(req.Key, 1, s.services.Clock().Sub(start))
	return err
}

// Settle appends and answers every Produce that was staged.
func (s *session) Settle(w *server.Writer) error {
	if len(s.produce.requests) == 0 {
		return nil
	}
	return s.settleProduce(w)
}

// Resume goes on with a Fetch that was suspended, or gives the answer to a heartbeat.
func (s *session) Resume(w *server.Writer) error {
	if s.held.answer != nil {
		s.letGo(w)
		return nil
	}
	s.fetch.suspended = false
	began := s.fetch.began
	var err error
	if s.fetch.following {
		err = s.finishFollower(w)
	} else {
		s.unwatch()
		err = s.finishFetch(w, false) // perhaps on the goroutine of who brings news
	}
	if !s.fetch.suspended {
		s.api.metrics.served(int16(kmsg.Fetch), 1, s.services.Clock().Sub(began))
	}
	return err
}

// Signalled reports whether there is news for a suspended answer.
func (s *session) Signalled() bool {
	if s.held.answer != nil {
		_, told := s.held.watch.Told()
		return told
	}
	if s.fetch.following {
		return len(s.follower.C) > 0
	}
	return len(s.waiter.C) > 0
}

// Close ends the session.
func (s *session) Close() {
	if s.follower != nil {
		s.follower.Close()
	}
	if s.fetch.suspended && !s.fetch.following {
		s.unwatch()
	}
	if s.held.answer != nil {
		s.held.watch.Forget()
	}
	s.fetch.release()
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.services.Shares != nil {
		s.services.Shares.Disconnected(s.call.Peer)
	}
	s.services.MemoryBudget.Release(s.produce.budgeted)
	s.produce.budgeted = 0
}

func (s *session) row(key int16) *Row {
	if key < 0 || int(key) >= len(s.rows) {
		return nil
	}
	return s.rows[key]
}

func (s *session) refuse(req *server.Request, why string) error {
	return fmt.Errorf("request with API key %d (%s) version %d: %s", req.Key, kmsg.NameForKey(req.Key), req.Version, why)
}

// admitElements takes what a request that is walked in place needs in memory out of the budget: nothing unless it names
// very much. The caller gives back what it returns. A session that holds some already must not wait for more: others
// may wait for what it has.
func (s *session) admitElements(req *server.Request, elements, elementBytes int, holding bool) (budgeted int64, err error) {
	if elements <= unbudgetedElements {
		return 0, nil
	}
	budgeted = int64(elements) * int64(elementBytes)
	if holding {
		if !s.services.MemoryBudget.TryAcquire(budgeted) {
			err = server.ErrOverBudget
		}
	} else {
		err = s.services.MemoryBudget.Acquire(s.call.Context, budgeted)
	}
	if err != nil {
		return 0, fmt.Errorf("%s request that names %d topics and partitions: %w", kmsg.NameForKey(req.Key), elements, err)
	}
	return budgeted, nil
}

// handleDecoded runs the handler of a row on a request that kmsg decodes.
func (s *session) handleDecoded(row *Row, req *server.Request, w *server.Writer) error {
	estimate := int64(len(req.Body)) * int64(row.BytesPerByte)
	if estimate > unbudgetedBytes {
		if err := s.services.MemoryBudget.Acquire(s.call.Context, estimate); err != nil {
			return fmt.Errorf("%s request of %d bytes: %w", kmsg.NameForKey(req.Key), req.SizeBytes, err)
		}
		defer s.services.MemoryBudget.Release(estimate)
	}
	if !row.guard.admits(req.Version, req.Body) {
		return fmt.Errorf("%s request version %d cannot be decoded: a count or a length in it is larger than what is left of it", kmsg.NameForKey(req.Key), req.Version)
	}
	decoded := row.newRequest()
	decoded.SetVersion(req.Version)
	if err := decoded.ReadFrom(bytes.Clone(req.Body)); err != nil {
		return fmt.Errorf("%s request version %d cannot be decoded: %w", kmsg.NameForKey(req.Key), req.Version, err)
	}
	correlationID, flexible := req.CorrelationID, req.Flexible
	s.call.Version, s.call.ClientID = req.Version, req.ClientID
	if row.Waits {
		if err := w.Park(); err != nil {
			return err
		}
	} else if err := w.Flush(); err != nil { // the handler may take its time
		return err
	}
	answer := s.services.answer(&s.call, row, decoded)
	if row.Waits {
		w.Unpark()
	}
	if answer == nil {
		return fmt.Errorf("%s request version %d was refused", kmsg.NameForKey(row.Key), decoded.GetVersion())
	}
	answer.SetVersion(decoded.GetVersion())
	if h, quiet := answer.(*heldHeartbeat); quiet {
		if held, err := s.hold(w, h, correlationID, flexible); held || err != nil {
			return err
		}
		answer = h.quietAnswer
	}
	s.encode(w, correlationID, flexible && answer.Key() != int16(kmsg.ApiVersions), answer)
	return nil
}

func (s *session) encode(w *server.Writer, correlationID int32, flexible bool, answer kmsg.Response) {
	w.Begin(correlationID, flexible)
	w.Buf = answer.AppendTo(w.Buf)
	w.End()
}

// wait blocks until the waiter is signalled, so long has passed, or the connection ends; it reports whether it was
// signalled.
func (s *session) wait(ctx context.Context, timeout time.Duration) bool {
	return s.waitFor(ctx, s.waiter.C, timeout)
}

// waitFor is wait for another signal.
func (s *session) waitFor(ctx context.Context, c <-chan struct{}, timeout time.Duration) bool {
	if s.timer == nil {
		s.timer = time.NewTimer(timeout)
	} else {
		s.timer.Reset(timeout)
	}
	defer s.timer.Stop()
	select {
	case <-c:
		return true
	case <-s.timer.C:
	case <-ctx.Done():
	}
	return false
}
