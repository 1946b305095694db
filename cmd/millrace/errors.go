package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Exit codes: part of the command line's contract.
const (
	exitOK        = 0
	exitFailed    = 1
	exitUsage     = 2
	exitDenied    = 3
	exitNotFound  = 4
	exitUnhealthy = 10
)

// failure is an error that knows its exit code. Lines after the first tell what to do next.
type failure struct {
	code    int
	message string
	cause   error
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.cause }

func usagef(format string, args ...any) error {
	return &failure{code: exitUsage, message: fmt.Sprintf(format, args...)}
}

func notFoundf(format string, args ...any) error {
	return &failure{code: exitNotFound, message: fmt.Sprintf(format, args...)}
}

// errInterrupted ends a command that a person stopped before it was done.
func interrupted(what string) error {
	return &failure{code: exitFailed, message: "interrupted: " + what}
}

// unhealthy carries no message: what is wrong was printed as data.
func unhealthy() error { return &failure{code: exitUnhealthy} }

// exitCode maps an error to the exit code: a failure's own, else by what the broker said.
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var items *itemErrors
	if errors.As(err, &items) {
		return items.exitCode()
	}
	var f *failure
	if errors.As(err, &f) {
		return f.code
	}
	var auth *kadm.AuthError
	if errors.As(err, &auth) {
		return exitDenied
	}
	var k *kerr.Error
	if errors.As(err, &k) {
		return brokerErrorCode(k)
	}
	return exitFailed
}

func brokerErrorCode(k *kerr.Error) int {
	switch k {
	case kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
		kerr.TransactionalIDAuthorizationFailed, kerr.DelegationTokenAuthorizationFailed, kerr.SaslAuthenticationFailed,
		kerr.UnsupportedSaslMechanism, kerr.IllegalSaslState, kerr.SecurityDisabled:
		return exitDenied
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.GroupIDNotFound, kerr.ResourceNotFound,
		kerr.UnknownMemberID, kerr.LogDirNotFound, kerr.BrokerIDNotRegistered:
		return exitNotFound
	}
	return exitFailed
}

// brokerError joins a protocol error with the broker's own message, which says more than the code.
func brokerError(err error, message string) error {
	if err == nil || message == "" {
		return err
	}
	var k *kerr.Error
	if errors.As(err, &k) {
		return &failure{code: exitCode(err), message: fmt.Sprintf("%s (%s)", strings.TrimRight(message, "."), k.Message), cause: err}
	}
	return fmt.Errorf("%s: %w", message, err)
}

// itemErrors are the failures of a command that did several things.
type itemErrors struct {
	items []string // what failed, such as "topic orders"; one per error
	errs  []error
}

// add notes the failure of one item; nil is ignored.
func (e *itemErrors) add(item string, err error) {
	if err != nil {
		e.items = append(e.items, item)
		e.errs = append(e.errs, fmt.Errorf("%s: %w", item, err))
	}
}

// err is nil when every item went well.
func (e *itemErrors) err() error {
	if len(e.errs) == 0 {
		return nil
	}
	return e
}

func (e *itemErrors) Error() string {
	lines := make([]string, len(e.errs))
	for i, err := range e.errs {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (e *itemErrors) Unwrap() []error { return e.errs }

// exitCode is the items' common code, or 1 when they failed in different ways.
func (e *itemErrors) exitCode() int {
	code := exitCode(e.errs[0])
	for _, err := range e.errs[1:] {
		if exitCode(err) != code {
			return exitFailed
		}
	}
	return code
}

// report writes err for a person and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var items *itemErrors
	if errors.As(err, &items) {
		for _, item := range items.errs {
			fmt.Fprintf(w, "millrace: %v\n", item)
		}
	} else if err.Error() != "" {
		fmt.Fprintf(w, "millrace: %v\n", err)
	}
	if next := nextCommand(err); next != "" {
		fmt.Fprintln(w, next)
	}
	return exitCode(err)
}

// nextCommand is the hint for errors that brokers send as a bare code.
func nextCommand(err error) string {
	var f *failure
	if errors.As(err, &f) && strings.Contains(f.message, "\n") {
		return ""
	}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return "List topics: millrace topic list"
	case errors.Is(err, kerr.GroupIDNotFound):
		return "List groups: millrace group list"
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "See the credentials in use: millrace profile show"
	case exitCode(err) == exitDenied:
		return "See who you connect as: millrace profile show"
	}
	return ""
}

// isTimeout tells a request that got no answer in time.
func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded)
}

func quote(s string) string { return strconv.Quote(s) }
