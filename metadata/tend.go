package metadata

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// tendBrokers runs until the node closes and, while this node is the controller, does what nobody asks for: it fences who
// is gone, gives leaderships back, and moves replicas.
func (n *Node) tendBrokers() {
	for {
		_, changed := n.quorum.Leader()
		if n.quorum.Leads() {
			n.sessions.begin()
			n.tendInTerm(n.quorum.State().Term)
			continue
		}
		select {
		case <-changed:
		case <-n.gone: // not ours to fence
		case <-n.stop:
			return
		}
	}
}

// tendInTerm tends brokers until the term in which this node leads is over or the node closes. One timer wakes it for
// whatever is due next.
func (n *Node) tendInTerm(term uint64) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		_, changed := n.quorum.Leader()
		if !n.quorum.Leads() || n.quorum.State().Term != term {
			return
		}
		timer.Reset(n.fenceExpired())
		select {
		case <-timer.C:
		case <-n.wake:
		case g := <-n.gone:
			n.fence(g.id, func(b *image.Broker) bool { return b.Incarnation == g.incarnation }, "its process is gone")
		case <-changed:
		case <-n.stop:
			return
		}
	}
}

// fenceExpired fences the brokers whose sessions are over and returns when to look again.
func (n *Node) fenceExpired() time.Duration {
	timeout := n.sessionTimeout()
	for n.quorum.Leads() {
		img := n.Image()
		id, wait := n.sessions.expired(img, timeout)
		if id < 0 {
			if wait == 0 {
				return time.Hour // until somebody is registered, which wakes
			}
			return wait
		}
		epoch := img.Broker(id).Epoch
		if !n.fence(id, func(b *image.Broker) bool { return b.Epoch == epoch }, "its session has timed out") {
			break
		}
	}
	return time.Second
}

// fence fences a broker if it still is the one that is meant, and reports whether that is settled.
func (n *Node) fence(id int32, meant func(*image.Broker) bool, reason string) bool {
	fenced := false
	_, err := n.change(context.Background(), func(img *image.Image) command.Group {
		b := img.Broker(id)
		if b == nil || b.Fenced || !meant(b) {
			return nil
		}
		fenced = true
		return n.controller.FenceBroker(img, id)
	})
	switch {
	case err != nil && !errors.Is(err, kerr.NotController):
		n.cfg.Logger.Error("fence broker", "broker.id", id, "error", err)
	case err == nil && fenced:
		n.cfg.Logger.Warn("fenced broker", "broker.id", id, "reason", reason)
	}
	return err == nil
}

func (n *Node) wakeTending() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}
