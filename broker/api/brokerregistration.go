package api

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
)

// BrokerRegistration, key 62, versions 0 to 4 (KIP-631). Kafka: ControllerApis.handleBrokerRegistration,
// ClusterControlManager.registerBroker. Spoken between brokers only.
//
// A broker that names features must have the finalized level of each that it names.
func brokerRegistration(s *Services, c *Call, r *kmsg.BrokerRegistrationRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.BrokerRegistrationResponse)
	answer.BrokerEpoch = -1
	err := s.registrationFault(c, r)
	if err == nil {
		ctx, cancel := requestContext(c, 0)
		defer cancel()
		answer.BrokerEpoch, err = s.Metadata.RegisterBroker(ctx, registeredBroker(r))
	}
	if err != nil {
		level := slog.LevelWarn
		if errors.Is(err, kerr.NotController) { // it asks the next one
			level = slog.LevelDebug
		}
		s.Logger.Log(c.Context, level, "broker registration refused", "broker", r.BrokerID, "peer", c.Identity.Host, "error", err)
		answer.ErrorCode, _ = s.outcome(err)
		answer.BrokerEpoch = -1
	}
	return answer
}

func (s *Services) registrationFault(c *Call, r *kmsg.BrokerRegistrationRequest) error {
	img := s.Metadata.Image()
	switch {
	case !speaksFor(c, r.BrokerID):
		return kerr.ClusterAuthorizationFailed
	case r.ClusterID != s.Metadata.ClusterID(): // that of the log: the image has none before the first entry
		return refuse(kerr.InconsistentClusterID, fmt.Sprintf("Expected cluster ID %s, but got cluster ID %s", s.Metadata.ClusterID(), r.ClusterID))
	case r.BrokerID < 0:
		return refuse(kerr.InvalidRegistration, "The broker id must not be negative.")
	}
	levels := img.Features()
	for _, f := range r.Features {
		if level := levels[f.Name]; level != 0 && (level < f.MinSupportedVersion || level > f.MaxSupportedVersion) {
			return refuse(kerr.UnsupportedVersion, fmt.Sprintf("Unable to register because the broker does not support finalized version %d of %s. "+
				"The broker wants a version between %d and %d, inclusive.", level, f.Name, f.MinSupportedVersion, f.MaxSupportedVersion))
		}
	}
	return nil
}

func registeredBroker(r *kmsg.BrokerRegistrationRequest) image.Broker {
	b := image.Broker{ID: r.BrokerID, Incarnation: r.IncarnationID, Epoch: r.PreviousBrokerEpoch, Directories: r.LogDirs}
	if r.Rack != nil {
		b.Rack = *r.Rack
	}
	for _, l := range r.Listeners {
		b.Listeners = append(b.Listeners, image.Listener{
			Name: l.Name, Host: l.Host, Port: int32(l.Port), SecurityProtocol: securityProtocolName(l.SecurityProtocol),
		})
	}
	return b
}

// securityProtocolName is Kafka's name for the number of a security protocol (SecurityProtocol).
func securityProtocolName(id int16) string {
	switch id {
	case 0:
		return "PLAINTEXT"
	case 1:
		return "SSL"
	case 2:
		return "SASL_PLAINTEXT"
	case 3:
		return "SASL_SSL"
	}
	return fmt.Sprintf("UNKNOWN(%d)", id)
}
