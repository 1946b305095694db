package sim

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// node is one process on one host with one disk.
type node struct {
	w  *World
	id int32

	life    int // grows with each start and end of the process
	up      bool
	paused  bool
	waiting []*event // what would have happened while it was paused

	// The clock is off by skew, and runs fast or slow by drift parts in a thousand. It does not jump: the shells measure time
	// by the monotonic clock.
	skew  time.Duration
	drift int64

	// What the disk holds.
	logs      []*plog // by partition
	directory [16]byte
	disk      *vfs.Memory // with transactions
	disks     int         // how many it had: a wiped disk is another one
	wiped     bool        // the disk is new and the cluster does not know it yet

	// What the process knows.
	applied    int   // index of its image
	epoch      int64 // of its registration; 0: not registered
	cleanEpoch int64 // the epoch of a registration that ended cleanly
	stopping   bool
	roles      []role    // by partition
	services   *services // with transactions: what real code runs in the process
}

// role is what a node does in a partition: one of leading and following is set, or none.
type role struct {
	leading   *leadership
	following *follow
}

func newNode(w *World, id int32) *node {
	n := &node{w: w, id: id, skew: w.between(-time.Hour, time.Hour), drift: w.rng.Int64N(101) - 50}
	n.newDisk()
	n.wiped = false
	return n
}

func (n *node) newDisk() {
	n.disks++
	n.disk = vfs.NewMemory()
	n.logs = make([]*plog, n.w.cfg.Partitions)
	for i := range n.logs {
		n.logs[i] = &plog{}
	}
	binary.BigEndian.PutUint32(n.directory[:], uint32(n.id))
	if !n.w.is(HidesAWipedDisk) {
		n.directory[15] = byte(n.disks)
	}
	n.wiped = true
	n.cleanEpoch = 0
}

// node returns a node by its id, nil for 0.
func (w *World) node(id int32) *node {
	if id <= 0 {
		return nil
	}
	return w.nodes[id-1]
}

// clock is the node's own notion of the time that has passed.
func (n *node) clock() time.Duration { return n.w.now + n.skew + n.w.now*time.Duration(n.drift)/1000 }

// wall is the clock as the cores take it.
func (n *node) wall() time.Time { return time.Unix(2_000_000_000, 0).Add(n.clock()) }

func (n *node) image() *image.Image {
	return n.w.meta.images[min(n.applied, n.w.meta.index())]
}

// brokers is what the node's image says of brokers.
func (n *node) brokers(id int32) isr.Broker {
	if n.w.is(TakesAnyBrokerEpoch) {
		return isr.Broker{Epoch: -1, Active: true}
	}
	b := n.image().Broker(id)
	if b == nil {
		return isr.Broker{}
	}
	return isr.Broker{Epoch: b.Epoch, Active: b.Active()}
}

// start starts the process: it recovers its logs, learns the metadata and registers.
func (n *node) start() {
	n.life++
	n.up, n.paused, n.waiting, n.stopping = true, false, nil, false
	n.applied, n.epoch = 0, 0
	n.roles = make([]role, n.w.cfg.Partitions)
	if n.w.txns != nil {
		n.startServices()
	}
	for _, l := range n.logs {
		l.watermark = min(l.watermark, len(l.records))
	}
	n.w.on(n, n.w.between(5*time.Millisecond, 50*time.Millisecond), n.catchUp)
	n.w.on(n, n.w.between(10*time.Millisecond, 100*time.Millisecond), n.register)
	n.w.on(n, 100*time.Millisecond, n.tick)
}

// end ends the process: what it knew is gone.
func (n *node) end(how ending) {
	if n.services != nil {
		n.endServices(how)
	}
	n.life++
	n.up, n.paused, n.waiting = false, false, nil
	n.roles = make([]role, n.w.cfg.Partitions)
	for _, l := range n.logs {
		l.flushToken = 0
	}
	n.w.meta.gone(n)
}

// catchUp asks the controller for metadata now and then: what it was told may have been lost.
func (n *node) catchUp() {
	n.w.on(n, n.w.between(50*time.Millisecond, 250*time.Millisecond), n.catchUp)
	leader := n.w.node(n.w.meta.leader)
	if leader == nil {
		return
	}
	n.w.call(n, leader, 200*time.Millisecond, func(answer func(any)) {
		if n.w.meta.leader == leader.id {
			answer(n.w.meta.index())
		}
	}, func(index any, ok bool) {
		if ok {
			n.applyUpTo(index.(int))
		}
	})
}

// applyUpTo brings the image forward and the roles with it: the first time in one step, later in one or in several.
func (n *node) applyUpTo(index int) {
	for index = min(index, n.w.meta.index()); n.applied < index; {
		if n.applied++; n.epoch == 0 || n.w.chance(3) {
			n.applied = index
		}
		if n.services != nil {
			n.services.image.Store(n.image())
		}
		if n.registered() || n.w.is(LeadsBeforeRegistering) {
			n.follow(n.w.meta.images[n.applied])
		}
	}
}

// registered says whether the node's image holds this start of its process. Before that it takes no role: what an older
// image says is about an earlier start, which may have led in the same epoch with another log.
func (n *node) registered() bool {
	b := n.image().Broker(n.id)
	return n.epoch != 0 && b != nil && b.Epoch == n.epoch
}

// serves says whether clients are let in: the node's own image must hold that it takes part.
func (n *node) serves() bool { return n.registered() && !n.image().Broker(n.id).Fenced }

// register asks the controller for an epoch until it has one.
func (n *node) register() {
	if n.epoch != 0 {
		return
	}
	n.w.on(n, n.w.between(100*time.Millisecond, 400*time.Millisecond), n.register)
	leader := n.w.node(n.w.meta.leader)
	if leader == nil {
		return
	}
	b := image.Broker{ID: n.id, Epoch: n.cleanEpoch, Directories: [][16]byte{n.directory}}
	binary.BigEndian.PutUint64(b.Incarnation[:], uint64(n.life))
	b.Incarnation[15] = byte(n.id)
	disks := n.disks
	n.w.call(n, leader, 300*time.Millisecond, func(answer func(any)) { n.w.meta.register(leader, b, answer) }, func(answer any, ok bool) {
		epoch, registered := answer.(int64)
		if !ok || !registered || n.epoch != 0 {
			return
		}
		n.epoch, n.wiped = epoch, n.wiped && disks != n.disks
		n.w.note("broker %d registered with epoch %d", n.id, epoch)
		if n.registered() {
			n.follow(n.image())
		}
		n.heartbeat()
	})
}

func (n *node) heartbeat() {
	if n.epoch == 0 {
		return // it registers
	}
	n.w.on(n, heartbeatEvery, n.heartbeat)
	leader := n.w.node(n.w.meta.leader)
	if leader == nil {
		return
	}
	h := controller.Heartbeat{BrokerID: n.id, BrokerEpoch: n.epoch, MetadataOffset: int64(n.applied), WantShutdown: n.stopping}
	n.w.call(n, leader, heartbeatEvery, func(answer func(any)) { n.w.meta.heartbeat(leader, h, answer) }, func(answer any, ok bool) {
		if err, refused := answer.(error); refused && errors.Is(err, kerr.StaleBrokerEpoch) && h.BrokerEpoch == n.epoch {
			// A registration of an earlier start was late and took our place.
			n.w.note("broker %d registers again", n.id)
			n.epoch = 0
			n.register()
			return
		}
		if a, good := answer.(controller.HeartbeatAnswer); ok && good && a.ShouldShutdown && n.stopping {
			n.stopCleanly()
		}
	})
}

// stopCleanly flushes everything, and comes back after a while.
func (n *node) stopCleanly() {
	for _, l := range n.logs {
		l.flushed, l.watermark = len(l.records), n.watermark(l)
	}
	n.cleanEpoch = n.epoch
	n.w.note("node %d stopped cleanly", n.id)
	n.end(stopped)
	n.w.at(n.w.between(20*time.Millisecond, 500*time.Millisecond), func() {
		if !n.up {
			n.start()
		}
	})
}

func (n *node) watermark(l *plog) int {
	for i := range n.logs {
		if n.logs[i] != l {
			continue
		}
		if r := n.roles[i]; r.leading != nil {
			return int(r.leading.core.HighWatermark())
		} else if r.following != nil {
			return int(r.following.core.HighWatermark)
		}
	}
	return l.watermark
}

// tick is the housekeeping of leaderships, and the checkpoint of high watermarks.
func (n *node) tick() {
	n.w.on(n, 100*time.Millisecond, n.tick)
	for i, r := range n.roles {
		if n.w.chance(10) {
			n.logs[i].watermark = n.watermark(n.logs[i])
		}
		if r.leading != nil {
			r.leading.tick()
		}
	}
}

// follow makes the roles what an image says, as replica.Manager.Apply does.
func (n *node) follow(img *image.Image) {
	t := img.TopicByID(n.w.meta.topic)
	if t == nil {
		return
	}
	for i, p := range t.Partitions() {
		n.followPartition(int(i), p)
	}
}

func (n *node) followPartition(i int, p *image.Partition) {
	r := &n.roles[i]
	state := isr.State{LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch, Replicas: p.Replicas, ISR: p.ISR, Lost: p.LostReplicas(), Recovering: p.RecoveryState == image.Recovering}
	switch {
	case p.Leader == n.id && r.leading != nil && r.leading.core.Epoch() == p.LeaderEpoch:
		if r.leading.core.Update(state) {
			r.leading.advanced()
		}
	case p.Leader == n.id:
		n.logs[i].watermark = n.watermark(n.logs[i])
		if r.leading != nil && n.services != nil {
			r.leading.ended()
		}
		*r = role{leading: n.lead(i, state)}
		n.elected(i, p.LeaderEpoch)
	case !isReplica(p, n.id):
		*r = role{}
	case r.following != nil && r.following.core.Epoch == p.LeaderEpoch && r.following.leader == p.Leader:
	default:
		n.logs[i].watermark = n.watermark(n.logs[i])
		if r.leading != nil {
			r.leading.ended()
			n.resigned(i)
		}
		*r = role{following: n.followLeader(i, p.Leader, p.LeaderEpoch)}
	}
}

func isReplica(p *image.Partition, id int32) bool {
	for _, r := range p.Replicas {
		if r == id {
			return true
		}
	}
	return false
}
