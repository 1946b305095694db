package api

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/peer"
)

// What only the controller can answer is sent to it in an Envelope, with the identity of whoever asked (KIP-590). Kafka:
// ForwardingManager, NodeToControllerChannelManager. While the controller moves the request is tried again for as long as
// its client waits; what may have been carried out already is not, unless it changes nothing.

const (
	// forwardTimeout bounds requests that have no timeout of their own.
	forwardTimeout = 15 * time.Second
	// leaderlessTimeout is how long an election may take before a request is answered without a controller.
	leaderlessTimeout = 2 * time.Second
	// The pauses between attempts at the same controller.
	minForwardPause = 2 * time.Millisecond
	maxForwardPause = 50 * time.Millisecond
)

var (
	// errNoController says that nothing was carried out, because nobody was found who could.
	errNoController = fmt.Errorf("no controller was found in time: %w", kerr.NotController)
	// errUnknownOutcome says that the request may have been carried out.
	errUnknownOutcome = fmt.Errorf("the controller did not answer: %w", kerr.RequestTimedOut)
)

// answer runs a request through its row: here, or where the row is forwarded at the controller.
func (s *Services) answer(c *Call, row *Row, request kmsg.Request) kmsg.Response {
	if row.Forwarded != forwardedWhole || s.Peers == nil || c.ForController {
		return row.handle(s, c, request)
	}
	answer, err := s.askController(c, row, request)
	if row.Leaderless && errors.Is(err, kerr.NotController) {
		if _, known, _ := s.Metadata.WatchLeader(); !known {
			return row.handle(s, c, request)
		}
	}
	if err != nil {
		code, message := s.outcome(err)
		return failedAnswer(request, code, message)
	}
	return answer
}

// askController has the controller answer a request of the caller. The answer comes once this node's image holds what it
// tells of. An error is errNoController or errUnknownOutcome, or says that the controller cannot understand this broker.
func (s *Services) askController(c *Call, row *Row, request kmsg.Request) (kmsg.Response, error) {
	patience := timeoutOf(request)
	if row.Leaderless {
		patience = leaderlessTimeout
	}
	ctx, cancel := context.WithTimeout(c.Context, patience)
	defer cancel()
	own := *c
	own.ForController, own.Version = true, request.GetVersion()
	var answer kmsg.Response
	err := s.atController(ctx, row.Repeatable, func(leader int32) (err error) {
		if leader == s.NodeID {
			if s.Metadata.VerifyLeader(ctx) != nil {
				return errNoController
			}
			answer = row.handle(s, &own, request)
			if says(answer, kerr.NotController.Code) {
				return errNoController
			}
			return nil
		}
		answer, err = s.sendEnvelope(ctx, &own, request, leader)
		return err
	})
	return answer, err
}

// atController calls attempt with the leader of the quorum until it succeeds, an error is final, or ctx ends. Attempts
// fail with errNoController where nothing was done, and with errUnknownOutcome where that is not known.
func (s *Services) atController(ctx context.Context, repeatable bool, attempt func(leader int32) error) error {
	for pause := minForwardPause; ; pause = min(2*pause, maxForwardPause) {
		err := errNoController
		leader, known, moved := s.Metadata.WatchLeader()
		if known {
			err = attempt(leader)
		}
		again := errors.Is(err, errNoController) || repeatable && errors.Is(err, errUnknownOutcome)
		if !again || !untilMoved(ctx, moved, pause) {
			return err
		}
	}
}

// untilMoved waits for another controller, or to ask the same one again; it is false when ctx ended first.
func untilMoved(ctx context.Context, moved <-chan struct{}, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-moved:
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// sendEnvelope asks another node, and waits until this one has seen what the answer tells of.
func (s *Services) sendEnvelope(ctx context.Context, c *Call, request kmsg.Request, leader int32) (kmsg.Response, error) {
	response, err := s.Peers.Do(ctx, leader, sealEnvelope(c, request))
	if err != nil {
		return nil, sendFault(ctx, err)
	}
	envelope, ok := response.(*kmsg.EnvelopeResponse)
	switch {
	case !ok:
		return nil, fmt.Errorf("broker %d answered an Envelope with %T", leader, response)
	case envelope.ErrorCode == kerr.NotController.Code:
		return nil, errNoController
	case envelope.ErrorCode != 0:
		return nil, fmt.Errorf("broker %d refused to answer %s version %d as the controller: %w",
			leader, kmsg.NameForKey(request.Key()), request.GetVersion(), kerr.ErrorForCode(envelope.ErrorCode))
	}
	answer := request.ResponseKind()
	answer.SetVersion(request.GetVersion())
	if err := readAnswer(answer, envelope.ResponseData); err != nil {
		return nil, fmt.Errorf("answer of broker %d to %s cannot be read: %w", leader, kmsg.NameForKey(request.Key()), err)
	}
	if index, told := metadataIndex(envelope); told {
		_ = s.Metadata.Await(ctx, index) // when it takes too long the answer is true all the same
	}
	return answer, nil
}

// sendFault says what an error of Peers means: only what was surely not sent counts as not carried out.
func sendFault(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, peer.ErrOutcomeUnknown) {
		return errUnknownOutcome
	}
	return errNoController
}

// retriedAtController turns what the controller itself says into what atController understands.
func retriedAtController(err error) error {
	switch {
	case errors.Is(err, kerr.NotController):
		return errNoController
	case errors.Is(err, kerr.RequestTimedOut):
		return errUnknownOutcome
	}
	return err
}

// timeoutOf is how long the client waits for the answer.
func timeoutOf(request kmsg.Request) time.Duration {
	if timed, ok := request.(kmsg.TimeoutRequest); ok && timed.Timeout() > 0 {
		return time.Duration(timed.Timeout()) * time.Millisecond
	}
	return forwardTimeout
}

// metadataIndexTag is the tagged field of EnvelopeResponse that holds the index of the metadata log at which the answer
// was true. Kafka has no field of that number.
const metadataIndexTag = 10000

func metadataIndex(envelope *kmsg.EnvelopeResponse) (index uint64, told bool) {
	envelope.UnknownTags.Each(func(tag uint32, value []byte) {
		if tag == metadataIndexTag && len(value) == 8 {
			index, told = binary.BigEndian.Uint64(value), true
		}
	})
	return index, told
}

// readAnswer reads a response header and the body after it.
func readAnswer(answer kmsg.Response, data []byte) error {
	header := cursor{p: data, flexible: answer.IsFlexible()}
	header.int32() // the correlation id
	header.tags()
	if header.bad {
		return errors.New("it ends within its header")
	}
	return answer.ReadFrom(header.p)
}
