package broker

import "github.com/millrace-io/millrace/metadata/image"

// afterRegistration hands deltas on from the first image on that holds the registration of this start, which comes as
// one delta from nothing. An earlier image may say that this broker leads an epoch which a start before it led: what that
// one had not flushed is gone, so it would lead the same epoch with another log, and nobody could tell. Kafka: the
// publishers of BrokerServer are installed once the registration was caught up with.
func (b *Broker) afterRegistration(apply func(*image.Delta)) func(*image.Delta) {
	registered := false // owned by the publisher
	return func(delta *image.Delta) {
		if registered {
			apply(delta)
			return
		}
		if own := delta.To.Broker(b.cfg.NodeID); own != nil && own.Incarnation == b.incarnation {
			registered = true
			apply(image.Difference(image.Empty(), delta.To))
		}
	}
}
