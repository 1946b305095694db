package group

import "time"

const (
	// quickHeartbeatMillis is the shortest heartbeat interval that a member is told while it has something to wait for.
	quickHeartbeatMillis = 50
	// unhurriedQuickMillis and unhurriedMillis are for clients that give a heartbeat no longer to be answered than the interval that
	// they were told last: librdkafka (rd_kafka_ConsumerGroupHeartbeatRequest) looks once a second, and what is older is timed out,
	// with the connection and with what is to be sent on it, such as that a member leaves. So their heartbeats are not held back:
	// one with nothing to wait for comes to hear of news within unhurriedMillis.
	unhurriedQuickMillis = 500
	unhurriedMillis      = 1000
	// quickHeartbeatsPerSecond bounds how many such heartbeats a whole group sends.
	quickHeartbeatsPerSecond = 1000
	// heldHeartbeatMillis is what a member is told whose heartbeat was held back until its time was over: the next one can
	// be held again. It is the time in which a member would not hear of news.
	heldHeartbeatMillis = 100
	// cutShortMillis is what a member is told whose heartbeat was held back and then let go because of another request on
	// its connection: consumers that commit all the time do not send heartbeats all the time.
	cutShortMillis = 300
	// assignedPerMilli is how many members and partitions an assignment is reckoned to take a millisecond for, or more.
	assignedPerMilli = 10
)

// heartbeatInterval is what a member is told. Kafka always tells consumer.heartbeat.interval.ms, so that a member learns of
// a partition that became free only with its next regular heartbeat. Here one that waits for something asks again soon,
// and ever more seldom the longer it takes, up to the regular interval. Unmodified clients do as they are told.
func (d *draft) heartbeatInterval(m *consumerMember, unhurried bool) int32 {
	regular := int64(d.s.consumerSettings(d.key).HeartbeatIntervalMillis)
	quick, soon := int64(quickHeartbeatMillis), int64(heldHeartbeatMillis) // the next one can be held
	crowd := int64(len(d.before.members)) * 1000 / quickHeartbeatsPerSecond
	if unhurried {
		quick, soon = unhurriedQuickMillis, max(unhurriedMillis, crowd)
	}
	switch reconciled := m.isReconciled(d.epoch); {
	case reconciled && d.s.settings().HeartbeatHoldMillis > 0:
		return int32(min(regular, soon))
	case reconciled:
		return int32(regular)
	}
	waited := max(0, d.now.UnixMilli()-d.assignmentMillis)
	return int32(min(regular, max(quick, crowd, waited/4)))
}

// HeldInterval is the heartbeat interval in milliseconds that a member is told whose answer was held back: until there
// was news, for the whole time that it may be held, or until something else came on its connection.
func HeldInterval(regular int32, news, whole bool) int32 {
	switch {
	case news:
		return min(regular, 1)
	case whole:
		return min(regular, heldHeartbeatMillis)
	}
	return min(regular, cutShortMillis)
}

// mayAssign holds the pause between two assignments, which consumer.assignment.interval.ms bounds. What is gathered in it is
// one assignment. Small groups, which cost little, wait less. When it is too early, a timer makes the assignment.
func (s *shard) mayAssign(d *draft, now time.Time) bool {
	c := d.before
	pause := min(millis(s.consumerSettings(d.key).AssignmentIntervalMillis), time.Duration(s.assignmentSize(c)/assignedPerMilli)*time.Millisecond)
	due := time.UnixMilli(c.assignmentMillis).Add(pause)
	if c.assignmentEpoch == 0 || !due.After(now) || due.Sub(now) > pause {
		s.timers.cancel(c.assigning)
		return true
	}
	if c.assigning.index < 0 {
		c.assigning.fire = func(now time.Time, do *effects) { s.assignNow(d.key, now, do) }
		s.timers.schedule(c.assigning, due)
	}
	return false
}

// assignmentSize is the number of members and of the partitions that they have.
func (s *shard) assignmentSize(c *consumerGroup) int {
	size := len(c.members)
	for _, target := range c.target {
		size += target.Count()
	}
	return size
}

// assignNow makes the assignment that was put off.
func (s *shard) assignNow(key groupKey, now time.Time, do *effects) {
	g := s.lookup(key)
	if g == nil || g.consumer == nil || len(g.consumer.members) == 0 || g.consumer.epoch <= g.consumer.assignmentEpoch {
		return
	}
	s.draft(key, g.consumer, now, do).assign()
}
