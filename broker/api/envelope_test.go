package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

func TestEnvelopeRefusals(t *testing.T) {
	s := testServices(t, nil)
	c := dial(t, testListener(t, s, internalListener))
	client := callFrom(t.Context(), "127.0.0.1:9092")
	good := func() *kmsg.EnvelopeRequest { return sealEnvelope(client, createOf("rides", 1)) }
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version = 12
	for _, test := range []struct {
		name   string
		change func(*kmsg.EnvelopeRequest)
		want   int16
	}{
		{"an Envelope in an Envelope", func(r *kmsg.EnvelopeRequest) { *r = *sealEnvelope(client, good()) }, kerr.InvalidRequest.Code},
		{"an API that is not forwarded", func(r *kmsg.EnvelopeRequest) { *r = *sealEnvelope(client, metadata) }, kerr.InvalidRequest.Code},
		{"an API that nobody has", func(r *kmsg.EnvelopeRequest) { r.RequestData[1] = 120 }, kerr.InvalidRequest.Code},
		{"a version to come", func(r *kmsg.EnvelopeRequest) { r.RequestData[3] = 99 }, kerr.UnsupportedVersion.Code},
		{"half a request", func(r *kmsg.EnvelopeRequest) { r.RequestData = r.RequestData[:len(r.RequestData)-3] }, kerr.InvalidRequest.Code},
		{"half a header", func(r *kmsg.EnvelopeRequest) { r.RequestData = r.RequestData[:7] }, kerr.InvalidRequest.Code},
		{"no request", func(r *kmsg.EnvelopeRequest) { r.RequestData = nil }, kerr.InvalidRequest.Code},
		{"no principal", func(r *kmsg.EnvelopeRequest) { r.RequestPrincipal = nil }, kerr.PrincipalDeserializationFailure.Code},
		{"half a principal", func(r *kmsg.EnvelopeRequest) { r.RequestPrincipal = r.RequestPrincipal[:5] }, kerr.PrincipalDeserializationFailure.Code},
		{"a principal with more behind it", func(r *kmsg.EnvelopeRequest) { r.RequestPrincipal = append(r.RequestPrincipal, 1) }, kerr.PrincipalDeserializationFailure.Code},
		{"an address that is none", func(r *kmsg.EnvelopeRequest) { r.ClientHostAddress = []byte{1, 2} }, kerr.InvalidRequest.Code},
		{"a client without rights", func(r *kmsg.EnvelopeRequest) {
			r.RequestPrincipal = appendPrincipal(nil, security.Identity{Tenant: "blue", Principal: "User:alice"}, "PLAINTEXT")
		}, kerr.ClusterAuthorizationFailed.Code},
	} {
		request := good()
		test.change(request)
		answer, err := c.ask(request)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := answer.(*kmsg.EnvelopeResponse); got.ErrorCode != test.want || len(got.ResponseData) > 0 {
			t.Errorf("%s: error %d, want %d", test.name, got.ErrorCode, test.want)
		}
	}
	if s.Metadata.Image().TopicCount() != 0 {
		t.Error("a refused Envelope created a topic")
	}
	answer, err := c.ask(good())
	if err != nil {
		t.Fatal(err)
	}
	index, told := metadataIndex(answer.(*kmsg.EnvelopeResponse))
	if topic := s.Metadata.Image().Topic(security.DefaultTenant, "rides"); topic == nil || !told || index != s.Metadata.Image().Index() {
		t.Errorf("topic %v, index %d (told: %v), the image is at %d", topic, index, told, s.Metadata.Image().Index())
	}
}

// Who asked is who the controller's handler sees.
func TestEnvelopeKeepsTheCaller(t *testing.T) {
	s := testServices(t, nil)
	New(s)
	for _, host := range []string{"10.1.2.3", "2001:db8::7", "fe80::1%eth0"} {
		client := callFrom(t.Context(), "127.0.0.1:9092")
		client.Identity = security.Identity{Tenant: security.DefaultTenant, Principal: "User:alice", Host: host}
		client.Listener, client.ClientID = "OUTSIDE", "app"
		opened, fault := s.openEnvelope(callFrom(t.Context(), "127.0.0.1:1"), sealEnvelope(client, createOf("rides", 1)))
		if fault != nil {
			t.Fatal(fault)
		}
		want := client.Identity
		if host == "fe80::1%eth0" {
			want.Host = "fe80::1"
		}
		if got := opened.call; got.Identity != want || got.Listener != "OUTSIDE" || got.ClientID != "app" || !got.ForController || got.Version != 7 {
			t.Errorf("the controller sees %+v", got)
		}
	}
}

// An Envelope is decoded within what its row has estimated for any request that it may hold.
func TestEnvelopeIsEstimatedForWhatItHolds(t *testing.T) {
	var estimate int
	for _, row := range Table() {
		if row.Key == int16(kmsg.Envelope) {
			estimate = row.BytesPerByte
		}
	}
	for _, row := range Table() {
		if row.Forwarded != notForwarded && row.BytesPerByte > estimate {
			t.Errorf("%s may take %d bytes per byte, an Envelope only %d", kmsg.NameForKey(row.Key), row.BytesPerByte, estimate)
		}
	}
}
