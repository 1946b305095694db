package api

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/controller"
)

// protocolError turns any error into the code and the message of an answer. A refusal that the protocol knows keeps its
// own message; what ended by time is REQUEST_TIMED_OUT, which clients take as an unknown outcome; all else is
// UNKNOWN_SERVER_ERROR. "" is the message of nil.
func protocolError(err error) (code int16, message string) {
	if err == nil {
		return 0, ""
	}
	if refusal := (*controller.Refusal)(nil); errors.As(err, &refusal) {
		if refusal.Message == "" {
			return refusal.Err.Code, refusal.Err.Description
		}
		return refusal.Err.Code, refusal.Message
	}
	if known := (*kerr.Error)(nil); errors.As(err, &known) {
		return known.Code, known.Description
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return kerr.RequestTimedOut.Code, kerr.RequestTimedOut.Description
	}
	return kerr.UnknownServerError.Code, kerr.UnknownServerError.Description
}

// outcome is protocolError for answers whose message is null where there is no error. What clients must not see is logged.
func (s *Services) outcome(err error) (code int16, message *string) {
	if err == nil {
		return 0, nil
	}
	number, text := protocolError(err)
	if number == kerr.UnknownServerError.Code {
		s.Logger.Error("request failed for a reason that the protocol has no word for", "error", err)
	}
	return number, &text
}

// refuse makes the refusal of one thing in a request.
func refuse(err *kerr.Error, message string) error {
	return &controller.Refusal{Err: err, Message: message}
}
