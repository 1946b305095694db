package api

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/security"
)

// Envelope, key 58, version 0 (KIP-590). Kafka: EnvelopeUtils.handleEnvelopeRequest. Spoken between brokers only.
//
// It holds a request that came to another broker, and who asked: the row's handler answers it here, as the controller,
// with the rights of that client. Refused are requests whose row is not forwarded, an Envelope among them, and all when
// this node does not lead the quorum: NOT_CONTROLLER, also where leadership was lost before anything was done. A majority
// confirms the leadership first: a leader that was replaced and does not know it would refuse for good what its old image
// does not have. Only what is the coordinator's of a group (passedon.go) needs no controller.
//
// Deviations: the principal is in a form of our own, which has the tenant and the listener, too; a tagged field tells the
// index of the metadata log at which the answer was true.
func envelope(s *Services, c *Call, r *kmsg.EnvelopeRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.EnvelopeResponse)
	opened, fault := s.openEnvelope(c, r)
	if fault == nil && opened.row.Forwarded != forwardedToCoordinator && s.Metadata.VerifyLeader(c.Context) != nil {
		fault = kerr.NotController
	}
	if fault != nil {
		answer.ErrorCode = fault.Code
		return answer
	}
	response := opened.row.handle(s, &opened.call, opened.request)
	switch {
	case response == nil:
		answer.ErrorCode = kerr.InvalidRequest.Code
	case says(response, kerr.NotController.Code):
		answer.ErrorCode = kerr.NotController.Code
	default:
		response.SetVersion(opened.request.GetVersion())
		answer.ResponseData = appendAnswer(response, opened.correlationID)
		index := binary.BigEndian.AppendUint64(nil, s.Metadata.Image().Index())
		answer.UnknownTags.Set(metadataIndexTag, index)
	}
	return answer
}

// openedEnvelope is a request that came in an Envelope.
type openedEnvelope struct {
	row           *Row
	request       kmsg.Request
	correlationID int32
	call          Call
}

func (s *Services) openEnvelope(c *Call, r *kmsg.EnvelopeRequest) (openedEnvelope, *kerr.Error) {
	who, listener, err := parsePrincipal(r.RequestPrincipal)
	if err != nil {
		return openedEnvelope{}, kerr.PrincipalDeserializationFailure
	}
	host, ok := netip.AddrFromSlice(r.ClientHostAddress)
	if !ok {
		return openedEnvelope{}, kerr.InvalidRequest
	}
	who.Host = host.String()
	header := cursor{p: r.RequestData}
	key, version, correlationID := header.int16(), header.int16(), header.int32()
	clientID := string(header.string())
	row := s.row(key)
	if row == nil || row.Forwarded == notForwarded {
		return openedEnvelope{}, kerr.InvalidRequest
	}
	if version < row.MinVersion || version > row.MaxVersion {
		return openedEnvelope{}, kerr.UnsupportedVersion
	}
	request := row.newRequest()
	request.SetVersion(version)
	header.flexible = request.IsFlexible()
	header.tags()
	if header.bad || !row.guard.admits(version, header.p) || request.ReadFrom(header.p) != nil {
		return openedEnvelope{}, kerr.InvalidRequest
	}
	asked := &server.Peer{Context: c.Context, ID: c.ID, Listener: listener, Local: c.Local, Remote: c.Remote, Identity: who}
	call := Call{Peer: asked, Version: version, ClientID: clientID, ForController: true}
	if !s.admitted(&call, row) {
		return openedEnvelope{}, kerr.ClusterAuthorizationFailed
	}
	return openedEnvelope{row: row, request: request, correlationID: correlationID, call: call}, nil
}

// row returns the row of a key, whatever listeners speak it; nil when there is none.
func (s *Services) row(key int16) *Row {
	for i := range s.rows {
		if s.rows[i].Key == key {
			return &s.rows[i]
		}
	}
	return nil
}

// sealEnvelope puts a request of the caller into an Envelope.
func sealEnvelope(c *Call, request kmsg.Request) *kmsg.EnvelopeRequest {
	sealed := kmsg.NewPtrEnvelopeRequest()
	formatter := kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.ClientID))
	sealed.RequestData = formatter.AppendRequest(nil, request, 0)[4:] // without the size of the frame
	sealed.RequestPrincipal = appendPrincipal(nil, c.Identity, c.Listener)
	if host, err := netip.ParseAddr(c.Identity.Host); err == nil {
		sealed.ClientHostAddress = host.WithZone("").AsSlice()
	} else {
		sealed.ClientHostAddress = netip.IPv4Unspecified().AsSlice() // the broker itself asks
	}
	return sealed
}

// appendAnswer writes a response header and the body.
func appendAnswer(response kmsg.Response, correlationID int32) []byte {
	data := binary.BigEndian.AppendUint32(nil, uint32(correlationID))
	if response.IsFlexible() && response.Key() != int16(kmsg.ApiVersions) {
		data = append(data, 0)
	}
	return response.AppendTo(data)
}

// principalVersion is the first byte of a principal in an Envelope. After it come tenant, principal and the name of the
// listener, each as a uvarint of its length plus one and its bytes.
const principalVersion = 1

var errPrincipal = errors.New("the principal of an Envelope cannot be read")

func appendPrincipal(dst []byte, who security.Identity, listener string) []byte {
	e := encoder{b: append(dst, principalVersion), flexible: true}
	e.text(who.Tenant)
	e.text(who.Principal)
	e.text(listener)
	return e.b
}

func parsePrincipal(data []byte) (who security.Identity, listener string, err error) {
	if len(data) == 0 || data[0] != principalVersion {
		return who, "", errPrincipal
	}
	c := cursor{p: data[1:], flexible: true}
	who.Tenant, who.Principal, listener = string(c.string()), string(c.string()), string(c.string())
	if c.bad || len(c.p) > 0 || who.Tenant == "" || who.Principal == "" {
		return security.Identity{}, "", errPrincipal
	}
	return who, listener, nil
}
