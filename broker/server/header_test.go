package server

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// The header that kmsg writes for every API and version is read back.
func TestHeaderOfEveryAPI(t *testing.T) {
	flexible := newFlexibleFrom()
	for key := int16(0); key < 128; key++ {
		req := kmsg.RequestForKey(key)
		if req == nil {
			continue
		}
		for version := int16(0); version <= req.MaxVersion(); version++ {
			if key == 7 && version == 0 {
				continue // ControlledShutdown 0 has no client id; nobody speaks it
			}
			req.SetVersion(version)
			b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("me")).AppendRequest(nil, req, 77)
			var got Request
			if err := flexible.parse(b[4:], &got); err != nil {
				t.Fatalf("%s %d: %v", kmsg.NameForKey(key), version, err)
			}
			if got.Key != key || got.Version != version || got.CorrelationID != 77 || got.ClientID != "me" || got.Flexible != req.IsFlexible() {
				t.Errorf("%s %d: %+v", kmsg.NameForKey(key), version, got)
			}
			if want := string(req.AppendTo(nil)); string(got.Body) != want {
				t.Errorf("%s %d: body %q, want %q", kmsg.NameForKey(key), version, got.Body, want)
			}
		}
	}
}

func TestHeaderTagsAreSkipped(t *testing.T) {
	b := []byte{0, 3, 0, 9, 0, 0, 0, 5, 0xff, 0xff, 2, 0, 3, 1, 2, 3, 200, 1, 0, 'b'}
	var got Request
	if err := newFlexibleFrom().parse(b, &got); err != nil || string(got.Body) != "b" {
		t.Fatalf("%q %v", got.Body, err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 5, 0xff, 0xff, 2, 0, 3, 1, 2, 3, 200, 1, 0, 'b'})
	f.Add([]byte{0, 0, 0, 3, 0, 0, 0, 5, 0, 2, 'm', 'e'})
	f.Add([]byte{0, 3, 0, 9, 0, 0, 0, 5, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	flexible := newFlexibleFrom()
	f.Fuzz(func(t *testing.T, frame []byte) {
		var got Request
		if err := flexible.parse(frame, &got); err == nil && len(got.Body) > len(frame) {
			t.Fatal("the body is longer than its frame")
		}
	})
}
