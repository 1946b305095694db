package controller

import (
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// Heartbeat is what a broker says of itself (BrokerHeartbeatRequest).
type Heartbeat struct {
	BrokerID           int32
	BrokerEpoch        int64
	MetadataOffset     int64 // index of its image
	WantFence          bool  // keep it, or make it, fenced
	WantShutdown       bool  // it is about to stop
	OfflineDirectories [][16]byte
}

// HeartbeatAnswer is what the controller makes of it.
type HeartbeatAnswer struct {
	CaughtUp       bool // its image holds its own registration
	Fenced         bool
	ShouldShutdown bool // it may stop now
	// Vouched is the index of the metadata log with which the broker knows of everything that was decided about it before this
	// heartbeat came; 0 when that cannot be said. From then on its session counts anew.
	Vouched uint64
}

// BrokerState is the state of a broker as heartbeats move it (BrokerControlState).
type BrokerState int8

// The states of a broker.
const (
	BrokerFenced BrokerState = iota
	BrokerUnfenced
	BrokerInShutdown
	BrokerMayStop
)

// StateOf returns the state that an image says a broker is in.
func StateOf(b *image.Broker) BrokerState {
	switch {
	case b.Fenced:
		return BrokerFenced
	case b.InControlledShutdown:
		return BrokerInShutdown
	}
	return BrokerUnfenced
}

// NextState says where a heartbeat moves its broker (BrokerHeartbeatManager.calculateNextBrokerState). leads tells whether
// it leads any partition, and informed whether every active broker's image holds that it does not any more; each is asked
// only when it matters.
func NextState(b *image.Broker, h Heartbeat, leads, informed func() bool) BrokerState {
	switch StateOf(b) {
	case BrokerFenced:
		switch {
		case h.WantShutdown:
			return BrokerMayStop
		case !h.WantFence && h.MetadataOffset >= b.Epoch:
			return BrokerUnfenced
		}
		return BrokerFenced
	case BrokerUnfenced:
		switch {
		case h.WantFence && !h.WantShutdown:
			return BrokerFenced
		case h.WantFence, h.WantShutdown && !leads():
			return BrokerMayStop
		case h.WantShutdown:
			return BrokerInShutdown
		}
		return BrokerUnfenced
	}
	if leads() || !informed() {
		return BrokerInShutdown
	}
	return BrokerMayStop
}

// MoveBroker plans the step to the next state, or when there is none what directories that went offline mean. Who may stop
// is fenced: its next start finds it so and need not wait.
func (c *Controller) MoveBroker(img *image.Image, h Heartbeat, next BrokerState) command.Group {
	if group := c.OfflineDirectories(img, h.BrokerID, h.OfflineDirectories); len(group) > 0 && next == StateOf(img.Broker(h.BrokerID)) {
		return group
	}
	switch next {
	case BrokerFenced, BrokerMayStop:
		return c.FenceBroker(img, h.BrokerID)
	case BrokerUnfenced:
		return c.UnfenceBroker(img, h.BrokerID)
	case BrokerInShutdown:
		return c.ShutDownBroker(img, h.BrokerID)
	}
	return nil
}
