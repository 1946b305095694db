package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func TestExitCode(t *testing.T) {
	t.Parallel()
	items := func(errs ...error) error {
		var e itemErrors
		for _, err := range errs {
			e.add("item", err)
		}
		return e.err()
	}
	tests := []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, 0},
		{"anything", errors.New("x"), 1},
		{"usage", usagef("x"), 2},
		{"wrapped usage", fmt.Errorf("y: %w", usagef("x")), 2},
		{"topic denied", fmt.Errorf("create: %w", kerr.TopicAuthorizationFailed), 3},
		{"login refused", kerr.SaslAuthenticationFailed, 3},
		{"kadm's denial", &kadm.AuthError{Err: kerr.ClusterAuthorizationFailed}, 3},
		{"no topic", brokerError(kerr.UnknownTopicOrPartition, "message"), 4},
		{"no group", kerr.GroupIDNotFound, 4},
		{"unhealthy", unhealthy(), 10},
		{"every item not found", items(notFoundf("a"), kerr.UnknownTopicOrPartition), 4},
		{"items that differ", items(notFoundf("a"), kerr.InvalidConfig), 1},
		{"no item failed", items(nil, nil), 0},
		{"timeout", context.DeadlineExceeded, 1},
	}
	for _, test := range tests {
		if got := exitCode(test.err); got != test.want {
			t.Errorf("%s: exit code %d, want %d", test.name, got, test.want)
		}
	}
}

func TestReportIsSilentForUnhealthy(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := report(&out, unhealthy()); code != 10 || out.Len() > 0 {
		t.Errorf("exit code %d, output %q", code, out.String())
	}
}
