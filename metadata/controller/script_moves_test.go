package controller

import (
	"fmt"
	"strings"

	"github.com/millrace-io/millrace/metadata/image"
)

func (w *world) load(args []string) string {
	id := PartitionID{w.img.Topic("default", args[0]).ID, number(args[1])}
	w.loads[id] = Load{Bytes: int64(number(args[2])), BytesPerSecond: float64(number(args[3]))}
	return "ok"
}

func (w *world) brokerLoads() []BrokerLoad { return []BrokerLoad{{BrokerID: 1, Partitions: w.loads}} }

func (w *world) moves(balance bool) string {
	m := w.c.PlanMoves(w.img, w.brokerLoads(), balance)
	if m.Started+m.Cancelled+m.Led+m.UnderWay+m.Stuck == 0 && len(m.Commands) == 0 {
		return "nothing to move"
	}
	s := fmt.Sprintf("started %d, cancelled %d, led by others %d, under way %d, stuck %d, waiting %v\n", m.Started, m.Cancelled, m.Led, m.UnderWay, m.Stuck, m.Waiting)
	if len(m.Commands) == 0 {
		return s
	}
	return s + w.change(m.Commands, nil)
}

// loadsText says what each broker has, where 1 is the mean.
func (w *world) loadsText() string {
	m := &mover{d: w.c.newDraft(w.img)}
	m.gather(w.brokerLoads())
	s := ""
	for b := range w.img.Brokers() {
		s += fmt.Sprintf("%d: %.2f\n", b.ID, m.load[b.ID])
	}
	return s
}

func (w *world) caughtUp(args []string) string {
	t := w.img.Topic("default", args[0])
	p := t.Partition(number(args[1]))
	var members []string
	for _, id := range p.Replicas {
		if w.img.Broker(id).Active() {
			members = append(members, fmt.Sprint(id))
		}
	}
	if p.Leader < 0 || len(members) == len(p.ISR) {
		return "ok"
	}
	return w.isr([]string{args[0], args[1], fmt.Sprint(p.Leader), strings.Join(members, "+")})
}

func (w *world) settle() string {
	moves := 0
	for range 100 {
		m := w.c.PlanMoves(w.img, w.brokerLoads(), true)
		if len(m.Commands) == 0 {
			return fmt.Sprintf("after %d moves", moves)
		}
		moves += m.Started
		w.apply(m.Commands)
		w.everyPartition(func(t *image.Topic, i int32) { w.caughtUp([]string{t.Name, fmt.Sprint(i)}) })
	}
	return "BUG: it does not come to rest"
}

func (w *world) everyPartition(fn func(t *image.Topic, i int32)) {
	for t := range w.img.AllTopics() {
		for i := range t.Partitions() {
			fn(t, i)
		}
	}
}
