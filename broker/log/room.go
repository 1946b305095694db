package log

import (
	"errors"
	"os"
	"sync"
	"time"
)

const (
	// minRoomHold is how long no append may have been refused before a full directory counts as having room. It doubles,
	// up to maxRoomHold, when the directory is full again within roomCalm: so a disk that is just about full is not taken
	// for one with room again and again.
	minRoomHold = 2 * time.Second
	maxRoomHold = 10 * time.Minute
	roomCalm    = 10 * time.Minute
	// roomProbeBytes is what is written to see whether a disk takes anything: quotas and inodes do not show in free space.
	roomProbeBytes = 64 << 10
	roomProbeFile  = ".room"
)

// room is what a directory knows of the space on its disk. A refused append makes it full; it has room again when none was
// refused for a while, RoomBytes are free, and a write goes through. A directory that is tight was never full: at the start
// less than that was free.
type room struct {
	mu       sync.Mutex
	state    roomState     // guarded by mu, as is the rest
	changed  chan struct{} // closed at the next change of state
	refused  time.Time     // the last refusal
	regained time.Time     // when it was full no more; zero: it never was
	hold     time.Duration // without a refusal, before it counts as having room
}

type roomState int8

const (
	roomy roomState = iota
	tight
	full
)

// Full reports that an append was refused for want of space, and that nothing says yet that there is some again.
func (d *Dir) Full() bool { s, _ := d.room.watch(); return s == full }

// Roomy reports that the directory takes what is appended, with DirConfig.RoomBytes to spare when that was looked at last.
// What is not full need not be roomy.
func (d *Dir) Roomy() bool { s, _ := d.room.watch(); return s == roomy }

// RoomChanged returns a channel that is closed when Full or Roomy change next.
func (d *Dir) RoomChanged() <-chan struct{} { _, changed := d.room.watch(); return changed }

func (r *room) watch() (roomState, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state, r.changed
}

// refuse notes a refused append and reports whether the directory was not full before.
func (r *room) refuse(now time.Time) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = now
	if r.state == full {
		return false
	}
	if r.regained.IsZero() || now.Sub(r.regained) >= roomCalm {
		r.hold = minRoomHold
	} else {
		r.hold = min(2*r.hold, maxRoomHold)
	}
	r.set(full)
	return true
}

// due returns the state that is to be looked into, roomy if none is: the hold of a full directory is over, or it is tight.
func (r *room) due(now time.Time) roomState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == full && now.Sub(r.refused) < r.hold {
		return roomy
	}
	return r.state
}

// regain notes that there is room, unless an append was refused meanwhile.
func (r *room) regain(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == roomy || r.state == full && now.Sub(r.refused) < r.hold {
		return false
	}
	if r.state == full {
		r.regained = now
	}
	r.set(roomy)
	return true
}

// set changes the state. The caller holds mu.
func (r *room) set(state roomState) {
	r.state = state
	close(r.changed)
	r.changed = make(chan struct{})
}

// openRoom looks for the first time.
func (d *Dir) openRoom() {
	d.room.changed = make(chan struct{})
	if free, err := d.fs.FreeBytes(d.path); err == nil && free < d.cfg.RoomBytes {
		d.room.state = tight
	}
}

// noSpace notes that an append was refused because the disk is full, and returns what the caller is told.
func (d *Dir) noSpace() error {
	d.metrics.refused()
	if d.room.refuse(time.Now()) {
		free, _ := d.fs.FreeBytes(d.path)
		d.logger.Error("log directory is full: appends are refused, and replicas on other brokers lead its partitions where they are in sync; "+
			"lower retention.ms or retention.bytes of large topics, or add space; it is used again by itself",
			"free_bytes", free, "wanted_free_bytes", d.cfg.RoomBytes)
	}
	return d.refusal
}

// lookForRoom sees whether a directory that was full, or tight at the start, has room again.
func (d *Dir) lookForRoom(now time.Time) {
	state := d.room.due(now)
	if state == roomy {
		return
	}
	free, err := d.fs.FreeBytes(d.path)
	if err != nil || free < d.cfg.RoomBytes || state == full && d.probeRoom() != nil {
		return
	}
	if d.room.regain(now) {
		d.logger.Info("log directory has room", "free_bytes", free)
	}
}

// probeRoom writes something and takes it away again.
func (d *Dir) probeRoom() error {
	name := d.path + "/" + roomProbeFile
	f, err := d.fs.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(make([]byte, roomProbeBytes), 0)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close(), d.fs.Remove(name))
}
