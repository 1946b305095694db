package main

import (
	"context"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// A change that nobody could confirm is made again until it is confirmed or refused, or the time is over.
func TestUnconfirmedChangesAreMadeAgain(t *testing.T) {
	answers := func(errs ...error) (alter func() (kadm.AlterConfigsResponses, error), asked *int) {
		asked = new(int)
		return func() (kadm.AlterConfigsResponses, error) {
			err := errs[min(*asked, len(errs)-1)]
			*asked++
			return kadm.AlterConfigsResponses{{Err: err}}, nil
		}, asked
	}
	for name, tt := range map[string]struct {
		errs  []error
		asked int
	}{
		"confirmed":            {[]error{nil}, 1},
		"confirmed at last":    {[]error{kerr.RequestTimedOut, kerr.RequestTimedOut, nil}, 3},
		"refused after all":    {[]error{kerr.RequestTimedOut, kerr.InvalidConfig}, 2},
		"refused in the first": {[]error{kerr.InvalidConfig}, 1},
	} {
		alter, asked := answers(tt.errs...)
		responses, err := confirmed(t.Context(), alter)
		if err != nil || !errors.Is(responses[0].Err, tt.errs[len(tt.errs)-1]) || *asked != tt.asked {
			t.Errorf("%s: %v, %v after %d attempts", name, responses, err, *asked)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	alter, _ := answers(kerr.RequestTimedOut)
	if responses, err := confirmed(ctx, alter); err != nil || !errors.Is(responses[0].Err, kerr.RequestTimedOut) {
		t.Errorf("when the time is over: %v, %v", responses, err)
	}
}
