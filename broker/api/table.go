package api

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/security"
)

// Services is what handlers work with. Fixed after New.
type Services struct {
	NodeID   int32
	Metadata *metadata.Node
	Replicas *replica.Manager
	Groups   *group.Service
	Settings *config.Resolver // effective topic and broker settings
	Clock    func() time.Time
	Logger   *slog.Logger
}

// Call is one request on its way through a handler.
type Call struct {
	*server.Peer
	Version  int16
	ClientID string
}

// Access is what a row of the table asks of the caller before its handler runs; handlers that name many resources
// (topics, groups) check each of them by the same operation through (*Services).Allowed.
type Access struct {
	Operation security.Operation
	Resource  security.ResourceType
}

// Row is one API that Millrace speaks. A key without a row is refused.
type Row struct {
	Key           int16
	MinVersion    int16 // lowest version accepted
	MaxVersion    int16
	AdvertisedMin int16 // lowest version shown by ApiVersions; differs from MinVersion for Produce (KAFKA-18659)
	Access        Access
	BytesPerByte  int // memory a decoded request may take, as a multiple of its frame: the admission estimate
	newRequest    func() kmsg.Request
	handle        func(*Services, *Call, kmsg.Request) kmsg.Response // nil answer: the connection is closed
}

// row makes the table entry of an API whose handler takes and returns kmsg's types. R is the request struct.
func row[R any, P interface {
	*R
	kmsg.Request
}](minVersion, maxVersion int16, access Access, handle func(*Services, *Call, P) kmsg.Response) Row {
	key := P(new(R)).Key()
	return Row{
		Key: key, MinVersion: minVersion, MaxVersion: maxVersion, AdvertisedMin: minVersion, Access: access, BytesPerByte: 16,
		newRequest: func() kmsg.Request { return P(new(R)) },
		handle:     func(s *Services, c *Call, r kmsg.Request) kmsg.Response { return handle(s, c, r.(P)) },
	}
}

// Allowed reports whether the caller may do the operation on the named resource. Without authorisation configured
// everything is allowed within the caller's own tenant.
func (s *Services) Allowed(c *Call, op security.Operation, resource security.ResourceType, name string) bool {
	return true
}
