package group

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group/assignor"
	"github.com/millrace-io/millrace/broker/group/topology"
)

// How soon a member comes again for which there will be something: clients do as they are told, and would else learn of it
// seconds later.
const (
	quickStreamsMillis   = 100
	waitingStreamsMillis = 250 // others have to give tasks up first
)

// tell puts a status into the answer.
func (d *streamsDraft) tell(status topology.Status, format string, args ...any) {
	said := kmsg.NewStreamsGroupHeartbeatResponseStatus()
	said.StatusCode, said.StatusDetail = int8(status), fmt.Sprintf(format, args...)
	d.statuses = append(d.statuses, said)
}

// quickly has the member come again by then.
func (d *streamsDraft) quickly(millis int32) {
	if d.quicklyMillis == 0 || millis < d.quicklyMillis {
		d.quicklyMillis = max(millis, 1)
	}
}

// delayFirst has the first assignment of a group wait for more members.
func (d *streamsDraft) delayFirst() {
	delay := millis(d.settings.InitialDelayMillis)
	if delay == 0 || d.soft.initial.index >= 0 {
		return
	}
	key, s := d.key, d.s
	d.soft.initial.fire = func(now time.Time, do *effects) { s.assignStreams(key, now, do) }
	s.timers.schedule(d.soft.initial, d.now.Add(delay))
}

// assign makes the target for the group's epoch, unless it is to wait, and returns the member's.
func (d *streamsDraft) assign(updated *streamsMember) tasks {
	if d.soft.initial.index >= 0 {
		d.tell(topology.AssignmentDelayed, "Assignment delayed due to the configured initial rebalance delay.")
		d.quickly(int32(d.soft.initial.at.Sub(d.now).Milliseconds()) + 1)
		return tasks{}
	}
	if d.assignmentEpoch >= d.epoch {
		return d.before.target[updated.id]
	}
	pause := millis(d.settings.AssignmentIntervalMillis)
	due := time.UnixMilli(d.before.assignmentMillis).Add(pause)
	if left := due.Sub(d.now); left > 0 && left <= pause {
		d.tell(topology.AssignmentDelayed, "Assignment delayed due to the configured assignment interval.")
		d.quickly(int32(left.Milliseconds()) + 1)
		return d.before.target[updated.id]
	}
	return d.makeTarget(updated)[updated.id]
}

// makeTarget writes what is new in the target for the group's epoch; updated, if not nil, is in the place of the member
// that it was.
func (d *streamsDraft) makeTarget(updated *streamsMember) map[string]tasks {
	members := make([]*streamsMember, 0, len(d.before.members)+1)
	for _, m := range d.before.members {
		if updated == nil || m.id != updated.id {
			members = append(members, m)
		}
	}
	if updated != nil {
		members = append(members, updated)
	}
	slices.SortFunc(members, func(a, b *streamsMember) int { return compareStrings(a.id, b.id) })
	made := d.divide(members)
	targets := make(map[string]tasks, len(members))
	for _, m := range members {
		target := tasks{active: setOf(made[m.id].Active), standby: setOf(made[m.id].Standby)}
		targets[m.id] = target
		if before, had := d.before.target[m.id]; !had || !before.sameTasks(target) {
			d.do.write(streamsTargetRecord(d.key, m.id, target))
		}
	}
	d.assignmentEpoch = d.epoch
	d.do.write(streamsTargetEpochRecord(d.key, d.epoch, d.now.UnixMilli()))
	d.s.figures.rebalances++
	return targets
}

// divide gives the tasks out; there are none while topics are missing.
func (d *streamsDraft) divide(members []*streamsMember) map[string]assignor.StreamerTasks {
	if !d.configured.Ready() {
		return nil
	}
	streamers := make([]assignor.Streamer, 0, len(members))
	for _, m := range members {
		had := d.before.target[m.id]
		streamers = append(streamers, assignor.Streamer{ID: m.id, Process: m.processID, Active: had.active.sorted(), Standby: had.standby.sorted()})
	}
	parts := make([]assignor.Subtopology, 0, len(d.configured.Subtopologies))
	for _, sub := range d.configured.Subtopologies {
		parts = append(parts, assignor.Subtopology{ID: sub.ID, Tasks: sub.Tasks, Stateful: len(sub.Changelogs) > 0})
	}
	return assignor.Sticky(streamers, parts, int(d.settings.StandbyReplicas))
}

// assignStreams makes the first assignment of a group when its delay is over.
func (s *shard) assignStreams(key groupKey, now time.Time, do *effects) {
	g, soft := s.streamsOf(key), s.streams[key]
	if g == nil || len(g.members) == 0 || g.epoch <= g.assignmentEpoch || soft == nil || soft.configured == nil {
		return
	}
	d := &streamsDraft{s: s, key: key, now: now, do: do, before: g, soft: soft, configured: soft.configured, epoch: g.epoch, settings: s.streamsSettings(key)}
	d.makeTarget(nil)
}

func (d *streamsDraft) note(message string, attributes ...any) {
	d.do.Notes = append(d.do.Notes, coordinator.Note{Message: message, Attributes: append([]any{"group", d.key.id, "epoch", d.epoch}, attributes...)})
}
