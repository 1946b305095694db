package metadata

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// tendBrokers runs until the node closes and, while this node is the controller, does what time asks for: it fences who is
// not heard from, gives leaderships back, and elects where any replica may lead.
func (n *Node) tendBrokers() { n.whileLeading(n.tendInTerm) }

// whileLeading runs a function in each term in which this node leads, until the node closes. The function returns when its
// term is over.
func (n *Node) whileLeading(run func(term uint64)) {
	for {
		_, changed := n.quorum.Leader()
		if term, leads := n.leadsIn(); leads {
			run(term)
		}
		select {
		case <-changed:
		case <-n.stop:
			return
		}
	}
}

func (n *Node) leadsIn() (term uint64, leads bool) { return n.quorum.State().Term, n.quorum.Leads() }

// tendInTerm tends brokers in one term. One timer wakes it for whatever is due next.
func (n *Node) tendInTerm(term uint64) {
	n.sessions.begin()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	leaders := time.Now().Add(n.seconds("leader.imbalance.check.interval.seconds"))
	unclean := time.Now().Add(n.millis("unclean.leader.election.interval.ms"))
	for {
		_, changed := n.quorum.Leader()
		if now, leads := n.leadsIn(); !leads || now != term {
			return
		}
		if !time.Now().Before(leaders) {
			n.balanceLeaders()
			leaders = time.Now().Add(n.seconds("leader.imbalance.check.interval.seconds"))
		}
		if !time.Now().Before(unclean) {
			n.inRounds("elect leaders that may lack records", n.controller.ElectUncleanLeaders)
			unclean = time.Now().Add(n.millis("unclean.leader.election.interval.ms"))
		}
		timer.Reset(min(n.fenceExpired(), time.Until(leaders), time.Until(unclean)))
		select {
		case <-timer.C:
		case <-n.tend.token:
			n.tend.take()
		case g := <-n.gone:
			n.fence(g.id, func(b *image.Broker) bool { return b.Incarnation == g.incarnation }, "its process is gone")
		case <-changed:
		case <-n.stop:
			return
		}
	}
}

func (n *Node) millis(key string) time.Duration {
	return time.Duration(n.settings.Broker(n.Image()).Int64(key)) * time.Millisecond
}

func (n *Node) seconds(key string) time.Duration {
	return time.Duration(min(n.settings.Broker(n.Image()).Int64(key), 1<<31)) * time.Second
}

func (n *Node) balanceLeaders() {
	if n.settings.Broker(n.Image()).Bool("auto.leader.rebalance.enable") {
		n.inRounds("give leaderships back", n.controller.BalanceLeaders)
	}
}

// inRounds carries out a plan of elections, a bounded number of them at once, until there is no more of it.
func (n *Node) inRounds(what string, plan func(*image.Image) (group command.Group, more bool)) {
	for more := true; more; {
		var planned command.Group
		planned, more = plan(n.Image())
		if _, err := n.changeAsPlanned(planned); err != nil {
			n.logFailure(what, err)
			return
		}
		if len(planned) > 0 {
			n.cfg.Logger.Info(what, "topics", len(planned))
		}
	}
}

// changeAsPlanned makes changes of partitions that were planned on an image of a moment ago, by looking at every partition:
// the proposer, and whoever waits for it, is not held up by that. What is true no more is left out and said to be stale.
func (n *Node) changeAsPlanned(planned command.Group) (stale bool, err error) {
	if len(planned) == 0 {
		return false, nil
	}
	_, err = n.change(n.life, func(img *image.Image) command.Group {
		fresh := controller.Fresh(img, planned)
		stale = countChanges(fresh) < countChanges(planned)
		return fresh
	})
	if err != nil {
		return false, err // who gave up does not know what was planned
	}
	return stale, nil
}

func countChanges(group command.Group) (n int) {
	for _, one := range group {
		if c, ok := one.(command.ChangePartitions); ok {
			n += len(c.Changes)
		}
	}
	return n
}

// logFailure tells of a change that could not be made; that another node leads now is no failure, and one whose outcome is
// not known is looked at again by whoever leads next.
func (n *Node) logFailure(what string, err error) {
	switch {
	case errors.Is(err, kerr.NotController):
	case errors.Is(err, kerr.RequestTimedOut):
		n.cfg.Logger.Warn(what, "error", err)
	default:
		n.cfg.Logger.Error(what, "error", err)
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
		meant := func(b *image.Broker) bool { return b.Epoch == epoch && n.sessions.left(b, timeout) < 0 }
		if !n.fence(id, meant, "its session has timed out") {
			break
		}
	}
	return time.Second
}

// fence fences a broker if it still is the one that is meant, and reports whether that is settled.
func (n *Node) fence(id int32, meant func(*image.Broker) bool, reason string) bool {
	fenced := false
	_, err := n.change(n.life, func(img *image.Image) command.Group {
		b := img.Broker(id)
		if b == nil || b.Fenced || !meant(b) {
			return nil
		}
		fenced = true
		return n.controller.FenceBroker(img, id)
	})
	switch {
	case err != nil:
		n.logFailure("fence broker", err)
	case fenced:
		n.cfg.Logger.Warn("fenced broker", "broker.id", id, "reason", reason)
	}
	return err == nil
}
