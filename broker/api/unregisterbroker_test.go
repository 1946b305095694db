package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/security"
)

// One request must not leave every partition of a node without a leader for ever.
func TestTheOnlyBrokerIsNotUnregistered(t *testing.T) {
	s := testServices(t, nil)
	s.rows = Table()
	call := &Call{Peer: &server.Peer{Context: t.Context(), Identity: security.Anonymous("test")}}
	for id, want := range map[int32]*kerr.Error{1: kerr.InvalidRequest, 4711: kerr.BrokerIDNotRegistered} {
		r := kmsg.NewPtrUnregisterBrokerRequest()
		r.BrokerID = id
		answer := unregisterBroker(s, call, r).(*kmsg.UnregisterBrokerResponse)
		if answer.ErrorCode != want.Code {
			t.Errorf("broker %d: error %d, want %v", id, answer.ErrorCode, want)
		}
	}
	if s.Metadata.Image().Broker(1) == nil {
		t.Error("the broker is gone")
	}
}
