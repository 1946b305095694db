package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslHandshake, key 17, versions 0 and 1. Kafka: KafkaApis.handleSaslHandshakeRequest.
//
// A listener without SASL, or one whose client has authenticated, refuses it: ILLEGAL_SASL_STATE with no mechanisms.
func saslHandshake(_ *Services, _ *Call, r *kmsg.SASLHandshakeRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
	answer.ErrorCode = kerr.IllegalSaslState.Code
	return answer
}
