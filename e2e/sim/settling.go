package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/txn"
)

type wireAborted = log.AbortedTransaction

// final holds what is left at the end against the ledger, once everything has settled.
func (t *transactions) final() {
	seen := map[place]bool{}
	for _, partition := range t.layout.readable() {
		if t.isGone(partition) {
			continue
		}
		values := t.ledger.finalOf(partition)
		t.ledger.inOrder(partition, values)
		for _, v := range values {
			seen[place{partition, v}] = true
		}
	}
	visible := t.ledger.atomic(seen)
	t.coordinators()
	t.offsets(visible)
}

// finalOf is what is visible of a partition at the end; what was shown before has to be the beginning of it.
func (l *ledger) finalOf(partition int) []value {
	leading := l.t.w.leading(partition)
	before := l.shown[partition].values
	l.readFrom(partition, leading)
	all := l.visible(leading.log, 0, leading.log.end())
	if shown := l.shown[partition].values; !slices.Equal(shown, all) {
		at := 0
		for at < min(len(shown), len(all)) && shown[at] == all[at] {
			at++
		}
		l.t.w.violate("shown otherwise: the readers of partition %d were shown %d records (%d before the end), and %d are there; the first difference is at %d", partition, len(shown), len(before), len(all), at)
	}
	return all
}

// inOrder wants the records of each transactional id in the order of its transactions, each once.
func (l *ledger) inOrder(partition int, values []value) {
	last := make([]value, idCount)
	for i := range last {
		last[i] = value{int32(i), -1, -1}
	}
	for _, v := range values {
		before := last[v.id]
		if v.serial < before.serial || v.serial == before.serial && v.count <= before.count {
			l.t.w.violate("out of order: partition %d shows record %d of transaction %d of tx-%d after record %d of %d", partition, v.count, v.serial, v.id, before.count, before.serial)
		}
		last[v.id] = v
	}
}

// atomic wants each transaction visible as its producer was told. It returns those that are.
func (l *ledger) atomic(seen map[place]bool) (visible []*entry) {
	for _, entries := range l.entries {
		for _, x := range entries {
			there, sent := 0, 0
			for _, p := range x.sent {
				if l.t.isGone(p.partition) {
					continue // with its topic
				}
				if sent++; seen[p] {
					there++
				}
			}
			whole := there == sent
			switch {
			case x.outcome == committed && !whole, x.outcome == aborted && there > 0, x.outcome == unknown && !whole && there > 0:
				l.t.w.violate("not atomic: transaction %d of tx-%d, %s, is %v, and %d of its %d records are visible: %v", x.serial, x.id, x.by, x.outcome, there, sent, x.sent)
			}
			if whole && sent > 0 {
				visible = append(visible, x)
			}
		}
	}
	return visible
}

// coordinators wants what each coordinator knows to be what its log says.
func (t *transactions) coordinators() {
	for id, want := range t.ledger.states() {
		place := t.layout.states.first + int(txn.PartitionFor("default", id, t.layout.states.count))
		s := t.w.leading(place).n.services
		var d txn.Description
		var err error
		t.wait(func(ctx context.Context) {
			if found, refusal := s.txns.Describe(ctx, "default", id); refusal != nil {
				err = refusal
			} else {
				d = found
			}
		})
		has := fmt.Sprintf("%d/%d %s", d.Producer.ID, d.Producer.Epoch, d.Status)
		if err == kerr.TransactionalIDNotFound && t.ledger.states()[id] == nil {
			continue // it expired meanwhile
		}
		if wants := fmt.Sprintf("%d/%d %s", want.ProducerID, want.ProducerEpoch, want.State); err != nil || !strings.EqualFold(has, wants) {
			t.w.violate("the coordinator of %s, node %d, says %s (%v), and its log says %s", id, s.n.id, has, err, wants)
		}
	}
}

// offsets wants the offsets of each group to be those of the last visible transaction that committed some.
func (t *transactions) offsets(visible []*entry) {
	last := make([]int64, idCount)
	for i := range last {
		last[i] = -1
	}
	for _, x := range visible {
		if x.offsets {
			last[x.id] = int64(x.serial)
		}
	}
	s := t.w.leading(t.layout.offsets.first).n.services
	for id, want := range last {
		r := kmsg.NewOffsetFetchRequestGroup()
		r.Group, r.Topics = groupOf(fmt.Sprintf("tx-%d", id)), []kmsg.OffsetFetchRequestGroupTopic{{Topic: topicName, Partitions: []int32{0}}}
		var answer kmsg.OffsetFetchResponseGroup
		t.wait(func(ctx context.Context) {
			answer = s.groups.OffsetFetch(ctx, group.Caller{Tenant: "default"}, &r, true)
		})
		if answer.ErrorCode != 0 || answer.Topics[0].Partitions[0].ErrorCode != 0 || answer.Topics[0].Partitions[0].Offset != want {
			t.w.violate("offsets: group %s has %+v, and %d is of its last visible transaction with offsets", r.Group, answer, want)
		}
	}
}

// wait runs code that may block until it is through; what it wants of the world is done meanwhile.
func (t *transactions) wait(code func(context.Context)) {
	through := false
	t.bubble.call(func() {
		go func() {
			code(t.context())
			t.bubble.post("through", func() { through = true })
		}()
	})
	t.bubble.settle()
	for !through && len(t.w.queue) > 0 {
		t.w.step()
	}
	synctest.Wait()
}
