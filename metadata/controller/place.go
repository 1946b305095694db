package controller

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/millrace-io/millrace/metadata/image"
)

// place chooses the replicas of count partitions beginning with number first: leaders go round the brokers, and the
// replicas of a partition are neighbours in a list in which racks take turns, so that they lie on different racks as long
// as there are enough. The topic's id says where to begin, so that small topics spread, too. A reason says why it cannot
// be done, in Kafka's words.
//
// Deviation: a broker in controlled shutdown counts as one that is fenced. Kafka leaves it out, so that three brokers refuse
// topics of three replicas while one of them restarts, and no client tries that again.
func place(img *image.Image, id image.TopicID, first, count int32, factor int16) (parts []*image.Partition, reason string) {
	brokers := rackOrder(img)
	usable := slices.ContainsFunc(brokers, (*image.Broker).Active)
	switch {
	case factor <= 0:
		return nil, fmt.Sprintf("Invalid replication factor %d: the replication factor must be positive.", factor)
	case !usable:
		return nil, "All brokers are currently fenced."
	case int(factor) > len(brokers):
		return nil, fmt.Sprintf("The target replication factor of %d cannot be reached because only %d broker(s) are registered%s.", factor, len(brokers), exceptDrained(img))
	}
	start := int(binary.BigEndian.Uint32(id[:])>>1) + int(first)
	stripes := make([]*image.Partition, len(brokers)) // partitions that begin at the same broker have the same state
	parts = make([]*image.Partition, count)
	for i := range parts {
		at := (start + i) % len(brokers)
		if stripes[at] == nil {
			stripes[at] = newPartition(img, stripe(brokers, at, int(factor)))
		}
		p := *stripes[at]
		parts[i] = &p
	}
	return parts, ""
}

// stripe returns factor brokers from at on: the first that is active leads, and each of the others is the next that lies on a
// rack with the fewest of them, one that is active if there is one.
func stripe(brokers []*image.Broker, at, factor int) []int32 {
	for !brokers[at].Active() {
		at = (at + 1) % len(brokers)
	}
	ring := slices.Concat(brokers[at:], brokers[:at])
	replicas, onRack := []int32{ring[0].ID}, map[string]int{ring[0].Rack: 1}
	for len(replicas) < factor {
		var next *image.Broker
		for _, b := range ring {
			if !slices.Contains(replicas, b.ID) && (next == nil || cmp.Or(cmp.Compare(onRack[b.Rack], onRack[next.Rack]), compareActive(b, next)) < 0) {
				next = b
			}
		}
		replicas = append(replicas, next.ID)
		onRack[next.Rack]++
	}
	return replicas
}

func compareActive(a, b *image.Broker) int {
	switch {
	case a.Active() == b.Active():
		return 0
	case a.Active():
		return -1
	}
	return 1
}

// rackOrder lists the brokers that new replicas may be given to so that racks take turns: the first of each rack, then the
// second of each, and so on. Who is to be taken away is not among them.
func rackOrder(img *image.Image) []*image.Broker {
	type place struct {
		turn   int
		broker *image.Broker
	}
	var places []place
	turns := map[string]int{}
	drained := Drained(img)
	for b := range img.Brokers() {
		if drained[b.ID] {
			continue
		}
		places = append(places, place{turns[b.Rack], b})
		turns[b.Rack]++
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.turn, b.turn), cmp.Compare(a.broker.Rack, b.broker.Rack), cmp.Compare(a.broker.ID, b.broker.ID))
	})
	brokers := make([]*image.Broker, len(places))
	for i, p := range places {
		brokers[i] = p.broker
	}
	return brokers
}

// newPartition returns the first state of a partition: every replica that is active is in sync, and the first of them leads.
// Without any the ISR is empty.
func newPartition(img *image.Image, replicas []int32) *image.Partition {
	p := &image.Partition{Replicas: replicas, ISR: replicas, Leader: -1}
	if slices.ContainsFunc(replicas, func(id int32) bool { return !active(img, id) }) {
		p.ISR = nil
		for _, id := range replicas {
			if active(img, id) {
				p.ISR = append(p.ISR, id)
			}
		}
	}
	if len(p.ISR) > 0 {
		p.Leader = p.ISR[0]
	}
	return p
}

func active(img *image.Image, id int32) bool { return img.Broker(id).Active() }

// exceptDrained says that brokers were left out because they are drained, "" if none were: Kafka has no such brokers.
func exceptDrained(img *image.Image) string {
	n := 0
	for id := range Drained(img) {
		if img.Broker(id) != nil {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and not being drained (%d are)", n)
}
