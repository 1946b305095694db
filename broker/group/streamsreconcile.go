package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/assignor"
)

// reconcile brings a member a step nearer to its target, and writes it when that changes it.
func (d *streamsDraft) reconcile(m *streamsMember, target tasks) *streamsMember {
	if m.isReconciled(d.assignmentEpoch) {
		return m
	}
	next := d.step(m, target, ownedTasks(d.body))
	if next == m || next.epoch == m.epoch && next.previousEpoch == m.previousEpoch && next.state == m.state &&
		next.assigned.equal(m.assigned) && next.revoking.equal(m.revoking) {
		return m
	}
	d.do.write(streamsCurrentRecord(d.key, next))
	d.s.watchStreamsRevocation(d.key, next, d.now)
	return next
}

// ownedTasks are those that a heartbeat says the member has; nil when it does not say.
func ownedTasks(r *kmsg.StreamsGroupHeartbeatRequest) *tasks {
	if r.ActiveTasks == nil || r.StandbyTasks == nil || r.WarmupTasks == nil {
		return nil
	}
	return &tasks{active: toldTasks(r.ActiveTasks), standby: toldTasks(r.StandbyTasks), warmup: toldTasks(r.WarmupTasks)}
}

func toldTasks(told []kmsg.TaskIDs) taskSet {
	set := taskSet{}
	for _, t := range told {
		for _, p := range t.Partitions {
			set[assignor.Task{Subtopology: t.SubtopologyID, Partition: p}] = 0
		}
	}
	return set
}

// step is Kafka's streams.CurrentAssignmentBuilder. Owned are the tasks that the member says it has, nil when it does not.
func (d *streamsDraft) step(m *streamsMember, target tasks, owned *tasks) *streamsMember {
	switch m.state {
	case memberUnrevoked:
		if owned == nil || owned.overlaps(m.revoking) {
			return m // it has not given them up
		}
		return d.approach(m, m.epoch+1, target, owned)
	case memberStable:
		if m.epoch == d.assignmentEpoch {
			return m
		}
	}
	return d.approach(m, m.epoch, target, owned)
}

// approach takes from the member what is not in the target, and gives it what nobody has. Epoch is its own while it has to
// give up something; then it reaches the target's.
func (d *streamsDraft) approach(m *streamsMember, epoch int32, target tasks, owned *tasks) *streamsMember {
	process := m.processID
	copied := func(t assignor.Task) bool { return d.before.copies[t][process] > 0 }
	elsewhere := func(t assignor.Task) bool { return len(d.before.active[t]) > 0 || copied(t) }
	here := func(t assignor.Task) bool { return d.before.active[t][process] > 0 || copied(t) }
	active := difference(m.assigned.active, target.active, d.assignmentEpoch, elsewhere)
	standby := difference(m.assigned.standby, target.standby, 0, here)
	warmup := difference(m.assigned.warmup, target.warmup, 0, here)

	next := *m
	next.previousEpoch = m.epoch
	revoking := tasks{active.revoke, standby.revoke, warmup.revoke}
	if !revoking.isEmpty() && (owned == nil || owned.overlaps(revoking)) {
		next.state, next.epoch, next.revoking = memberUnrevoked, epoch, revoking
		next.assigned = tasks{active.keep, standby.keep, warmup.keep}
		return &next
	}
	next.state, next.epoch, next.revoking = memberStable, d.assignmentEpoch, tasks{}
	if active.waits || standby.waits || warmup.waits {
		next.state = memberUnreleased
	}
	next.assigned = tasks{active.given(), standby.given(), warmup.given()}
	return &next
}

// steps are what is to be done about the tasks of one kind.
type steps struct {
	keep, revoke, add taskSet
	waits             bool // for tasks that somebody else has to give up
}

// given are the tasks that are kept and those that are added.
func (s steps) given() taskSet {
	for t, epoch := range s.add {
		s.keep[t] = epoch
	}
	return s.keep
}

// difference compares what a member has with what it is to have. Tasks that are taken have to wait.
func difference(has, target taskSet, epoch int32, taken func(assignor.Task) bool) steps {
	s := steps{keep: taskSet{}, revoke: taskSet{}, add: taskSet{}}
	for t, given := range has {
		if _, wanted := target[t]; wanted {
			s.keep[t] = given
		} else {
			s.revoke[t] = given
		}
	}
	for t := range target {
		if _, kept := s.keep[t]; kept {
			continue
		}
		if taken(t) {
			s.waits = true
		} else {
			s.add[t] = epoch
		}
	}
	return s
}
