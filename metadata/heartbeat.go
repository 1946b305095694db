package metadata

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

// alone reports whether this node is the only one there is: its broker is registered unfenced and needs no heartbeats.
func (n *Node) alone() bool { return n.cfg.Address == "" }

func (n *Node) sessionTimeout() time.Duration {
	return time.Duration(n.settings.Broker(n.Image()).Int64("broker.session.timeout.ms")) * time.Millisecond
}

// RegisterBroker writes a broker's registration and returns its epoch. The epoch of the argument is the one that the broker
// had when it last stopped cleanly, 0 if it did not. A broker with others is fenced until a heartbeat says that its image
// holds the registration. The same incarnation may register again and keeps its epoch.
func (n *Node) RegisterBroker(ctx context.Context, b image.Broker) (epoch int64, err error) {
	timeout := n.sessionTimeout()
	err = n.one(ctx, func(img *image.Image) (command.Group, error) {
		alive := n.sessions.alive(img.Broker(b.ID), timeout)
		return n.controller.RegisterBroker(img, controller.Registration{Broker: b, Alive: alive, Alone: n.alone()})
	})
	if err != nil {
		return 0, err
	}
	registered := n.Image().Broker(b.ID)
	if registered == nil || registered.Incarnation != b.Incarnation {
		return 0, &controller.Refusal{Err: kerr.DuplicateBrokerRegistration, Message: "Another incarnation registered meanwhile."}
	}
	return registered.Epoch, nil
}

// Heartbeat takes a broker's word that it lives, and moves it to the state that it asks for and may have. Only a change of
// state goes through the log.
//
// A broker that stops is told ShouldShutdown once every other has said, by a heartbeat of its own, that its image holds the
// new leaders; so brokers heartbeat at once when they see one in controlled shutdown.
func (n *Node) Heartbeat(ctx context.Context, h controller.Heartbeat) (controller.HeartbeatAnswer, error) {
	var answer controller.HeartbeatAnswer
	if !n.IsController() {
		return answer, refusal(raft.ErrNotLeader)
	}
	img := n.Image()
	if err := controller.CheckBrokerEpoch(img, h.BrokerID, h.BrokerEpoch); err != nil {
		return answer, err
	}
	b := img.Broker(h.BrokerID)
	n.sessions.touch(b, h)
	next := n.nextState(img, b, h)
	if next != controller.StateOf(b) || len(h.OfflineDirectories) > 0 {
		defer n.sessions.wait(b)()
		err := n.one(ctx, func(img *image.Image) (group command.Group, err error) {
			if err := controller.CheckBrokerEpoch(img, h.BrokerID, h.BrokerEpoch); err != nil {
				return nil, err
			}
			next = n.nextState(img, img.Broker(h.BrokerID), h)
			return n.controller.MoveBroker(img, h, next), nil
		})
		if err != nil {
			return answer, err
		}
		if next == controller.BrokerInShutdown {
			n.sessions.stopping(b, n.Image().Index())
		}
	}
	answer.CaughtUp = h.MetadataOffset >= b.Epoch
	answer.Fenced = next == controller.BrokerFenced || next == controller.BrokerMayStop
	answer.ShouldShutdown = next == controller.BrokerMayStop
	if next == controller.BrokerUnfenced {
		answer.Vouched = n.vouch(ctx, h)
	}
	return answer, nil
}

// vouchPatience is how long a heartbeat waits for what lets the broker know that its session is held. It is short beside any
// interval of heartbeats: where the log is slow a broker is told nothing, and lives.
const vouchPatience = 250 * time.Millisecond

// vouch returns the index at which a broker whose session was just renewed was not fenced, after all that was decided before
// that, and which no other controller knows more than: one that was elected since gives every broker a whole session. 0 when
// that cannot be said.
func (n *Node) vouch(ctx context.Context, h controller.Heartbeat) uint64 {
	ctx, cancel := context.WithTimeout(ctx, vouchPatience)
	defer cancel()
	unfenced := false
	index, err := n.change(ctx, func(img *image.Image) command.Group {
		b := img.Broker(h.BrokerID)
		unfenced = b != nil && b.Epoch == h.BrokerEpoch && !b.Fenced
		return nil // it only takes its place among what is decided
	})
	if err != nil || !unfenced || n.quorum.VerifyLeader(ctx) != nil {
		return 0
	}
	return index
}

func (n *Node) nextState(img *image.Image, b *image.Broker, h controller.Heartbeat) controller.BrokerState {
	return controller.NextState(b, h,
		func() bool { return controller.Leads(img, b.ID) },
		func() bool { return n.sessions.informed(img, b) })
}

// BrokerGone says that an incarnation of a broker is gone: its connection ended and its address refuses another. It is
// fenced now instead of at the end of its session. It does not wait, and elsewhere than on the controller it does nothing.
func (n *Node) BrokerGone(brokerID int32, incarnation [16]byte) {
	select {
	case n.gone <- goneBroker{brokerID, incarnation}:
	default: // the end of its session will do
	}
}

type goneBroker struct {
	id          int32
	incarnation [16]byte
}

// maxGoneBrokers bounds the reports of BrokerGone that wait.
const maxGoneBrokers = 64
