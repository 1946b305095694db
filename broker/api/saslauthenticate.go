package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslAuthenticate, key 36, versions 0 to 2. Kafka: KafkaApis.handleSaslAuthenticateRequest, whose words are odd where
// nobody has authenticated, but known to tools.
func saslAuthenticate(_ *Services, _ *Call, r *kmsg.SASLAuthenticateRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	answer.ErrorCode = kerr.IllegalSaslState.Code
	answer.ErrorMessage = kmsg.StringPtr("SaslAuthenticate request received after successful authentication")
	return answer
}
