package controller

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/metadata/image"
)

// modelBroker has two disks. The logs of partitions with even numbers lie on the first.
type modelBroker struct {
	incarnation byte
	disks       [2]byte // ids of their directories
	away        [2]bool // it cannot use them
	running     bool
	cleanEpoch  int64 // it stopped cleanly at this epoch; 0: it did not

	standing map[string]standing // of replicas, by topic id and number, as this start of it knows
}

// standing is what a start of a broker finds of one of its replicas.
type standing int8

const (
	usable standing = iota
	lost
	gone
)

func (b *modelBroker) directories() (ids [][16]byte) {
	for d, id := range b.disks {
		if !b.away[d] {
			ids = append(ids, [16]byte{id})
		}
	}
	return ids
}

// lookAround finds out what became of the replicas since the broker stopped, as package replica does: what is on no disk was
// never written to, unless a disk is away or was replaced.
func (h *history) lookAround(id int32) {
	b := h.brokers[id]
	b.standing = map[string]standing{}
	replaced := len(missing(h.img.Broker(id).Directories, b.directories())) > 0
	h.each(func(t *image.Topic, i int32, p *image.Partition, m *modelPartition) {
		key := fmt.Sprint(t.ID, i)
		switch {
		case !slices.Contains(p.Replicas, id) || len(m.logs[id]) > 0:
		case b.away[0] || b.away[1]:
			b.standing[key] = lost
		case (replaced || p.Lost(id)) && p.CountsOn(id):
			b.standing[key] = gone
		}
	})
}

// usable reports whether a broker can use its log of a partition.
func (h *history) usable(id int32, t *image.Topic, i int32) bool {
	p, b, key := t.Partition(i), h.brokers[id], fmt.Sprint(t.ID, i)
	if b.standing[key] == gone && !p.CountsOn(id) {
		delete(b.standing, key) // it begins anew
	}
	return b.standing[key] == usable
}

// serves reports whether a broker would serve a partition that it leads: not when it is gone and the controller has not noticed,
// until it registers anew; nor when the disk is.
func (h *history) serves(id int32, t *image.Topic, i int32) bool {
	b := h.brokers[id]
	return b.running && b.standing[fmt.Sprint(t.ID, i)] == usable
}

// tell lets a broker say one thing of its replicas that the image does not say, or, if there is nothing, that the directories
// are offline that it does not have. It reports whether there was anything to say.
func (h *history) tell(id int32) bool {
	b, broker := h.brokers[id], h.img.Broker(id)
	if broker.Incarnation[0] != b.incarnation {
		return false
	}
	var untold []DirectoryAssignment
	h.each(func(t *image.Topic, i int32, p *image.Partition, m *modelPartition) {
		key := fmt.Sprint(t.ID, i)
		if !slices.Contains(p.Replicas, id) {
			delete(b.standing, key)
			delete(m.stored, id)
			return
		}
		a := DirectoryAssignment{TopicID: t.ID, Partition: i}
		switch {
		case b.standing[key] == lost && !p.Lost(id):
			a.Directory = image.LostDirectory()
		case b.standing[key] == gone && p.CountsOn(id):
			a.Directory = image.GoneDirectory()
		case b.standing[key] == usable && p.Lost(id):
			a.Directory = b.directories()[0]
		default:
			return
		}
		untold = append(untold, a)
	})
	if len(untold) > 0 {
		one := untold[rapid.IntRange(0, len(untold)-1).Draw(h.t, "told")]
		faults, group, err := h.c.AssignDirectories(h.img, id, broker.Epoch, []DirectoryAssignment{one})
		if err != nil || faults[0] != nil {
			h.t.Fatalf("broker %d tells of a replica: %v %v", id, faults, err)
		}
		h.apply(group)
		return true
	}
	group := h.c.OfflineDirectories(h.img, id, missing(broker.Directories, b.directories()))
	h.apply(group)
	return len(group) > 0
}

// unfence lets a broker serve that has nothing more to tell.
func (h *history) unfence(id int32) {
	before := h.img
	if h.img.Broker(id).Fenced && h.tell(id) || h.img != before {
		return
	}
	h.apply(h.c.UnfenceBroker(h.img, id))
}

// disk lets a disk of a broker fail, come back, or be replaced by an empty one.
func (h *history) disk(id int32) {
	b, d := h.brokers[id], rapid.IntRange(0, 1).Draw(h.t, "disk")
	switch {
	case b.running && !b.away[1-d]: // a process ends whose last disk fails
		h.takeDisk(id, d)
	case b.running:
	case b.away[d] && rapid.Bool().Draw(h.t, "repaired"):
		h.giveBack(id, d)
	case !b.away[d] && !b.away[1-d] && rapid.Bool().Draw(h.t, "away"):
		h.takeDisk(id, d)
	case rapid.IntRange(0, 3).Draw(h.t, "unlucky") == 0:
		h.emptyDisk(id, d)
	}
}

func (h *history) onDisk(d int, fn func(t *image.Topic, i int32, m *modelPartition)) {
	h.each(func(t *image.Topic, i int32, _ *image.Partition, m *modelPartition) {
		if int(i)%2 == d {
			fn(t, i, m)
		}
	})
}

func (h *history) takeDisk(id int32, d int) {
	b := h.brokers[id]
	b.away[d] = true
	h.onDisk(d, func(t *image.Topic, i int32, m *modelPartition) {
		if log := m.logs[id]; len(log) > 0 {
			m.stored[id] = log
			delete(m.logs, id)
			b.standing[fmt.Sprint(t.ID, i)] = lost
		}
	})
}

// giveBack brings a disk back. What is on both disks by now an operator removes from this one.
func (h *history) giveBack(id int32, d int) {
	h.brokers[id].away[d] = false
	h.onDisk(d, func(_ *image.Topic, _ int32, m *modelPartition) {
		if stored := m.stored[id]; len(m.logs[id]) == 0 && len(stored) > 0 {
			m.logs[id] = stored
		}
		delete(m.stored, id)
	})
}

func (h *history) emptyDisk(id int32, d int) {
	b := h.brokers[id]
	b.disks[d] += 10
	b.away[d], b.cleanEpoch = false, 0
	h.onDisk(d, func(_ *image.Topic, _ int32, m *modelPartition) {
		delete(m.logs, id)
		delete(m.stored, id)
	})
}

// mendDisks brings back what is away, for which the broker is started anew.
func (h *history) mendDisks(id int32) {
	b := h.brokers[id]
	if !b.away[0] && !b.away[1] {
		return
	}
	if b.running {
		h.crash(id)
	}
	for d, away := range b.away {
		if away {
			h.giveBack(id, d)
		}
	}
}
