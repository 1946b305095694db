package group

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group/topology"
)

// answer tells a member its epoch, and its tasks when it joins or when they are others than before.
func (d *streamsDraft) answer(before, m *streamsMember) *kmsg.StreamsGroupHeartbeatResponse {
	answer := kmsg.NewPtrStreamsGroupHeartbeatResponse()
	answer.MemberID, answer.MemberEpoch = m.id, m.epoch
	endpointEpoch := d.soft.endpointEpoch
	if d.body.MemberEpoch == 0 || !before.assigned.equal(m.assigned) {
		answer.ActiveTasks, answer.StandbyTasks, answer.WarmupTasks = told(m.assigned.active), told(m.assigned.standby), told(m.assigned.warmup)
		if m.endpoint != nil {
			endpointEpoch++
		}
	}
	if endpointEpoch != d.body.EndpointInformationEpoch {
		answer.PartitionsByUserEndpoint = d.endpoints(m)
	}
	if !d.isNew { // as in Kafka, a group that is made by this step begins to count with the next
		d.soft.endpointEpoch, answer.EndpointInformationEpoch = endpointEpoch, endpointEpoch
	}
	if p := d.configured.Problem; p != nil {
		d.tell(p.Status, "%s", p.Detail)
	}
	if d.soft.shutdownBy != "" {
		d.tell(topology.ShutdownApplication, "Streams group member %s encountered a fatal error and requested a shutdown for the entire application.", d.soft.shutdownBy)
	}
	answer.Status = append([]kmsg.StreamsGroupHeartbeatResponseStatus{}, d.statuses...)
	answer.HeartbeatIntervalMillis = d.interval(m)
	return answer
}

// interval is when the member is to come again: soon if there will be something for it.
func (d *streamsDraft) interval(m *streamsMember) int32 {
	interval := d.settings.HeartbeatIntervalMillis
	if len(d.configured.Missing) > 0 {
		d.quickly(quickStreamsMillis)
	}
	if m.state == memberUnreleased {
		d.quickly(waitingStreamsMillis)
	}
	if d.quicklyMillis > 0 {
		interval = min(interval, d.quicklyMillis)
	}
	return interval
}

// told are tasks as a heartbeat tells them; none is not nil, which would say that nothing has changed.
func told(set taskSet) []kmsg.TaskIDs {
	all := []kmsg.TaskIDs{}
	for _, part := range bySubtopology(set) {
		all = append(all, kmsg.TaskIDs{SubtopologyID: part.id, Partitions: part.partitions})
	}
	return all
}

// endpoints tells which member answers queries of which partitions; m is in the place of the member that it was.
func (d *streamsDraft) endpoints(m *streamsMember) []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint {
	all := []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{}
	for _, id := range sortedKeys(d.before.members) {
		if id != m.id {
			all = append(all, d.endpoint(d.before.members[id])...)
		}
	}
	return append(all, d.endpoint(m)...)
}

// endpoint is what there is to tell of one member, if it has an endpoint.
func (d *streamsDraft) endpoint(m *streamsMember) []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint {
	if m.endpoint == nil {
		return nil
	}
	e := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpoint()
	e.UserEndpoint.Host, e.UserEndpoint.Port = m.endpoint.host, m.endpoint.port
	for _, t := range d.readBy(m.assigned.active) {
		e.ActivePartitions = append(e.ActivePartitions, kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition{Topic: t.name, Partitions: t.partitions})
	}
	for _, t := range d.readBy(m.assigned.standby) {
		e.StandbyPartitions = append(e.StandbyPartitions, kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition{Topic: t.name, Partitions: t.partitions})
	}
	return []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{e}
}

// readBy are the partitions that tasks read.
func (d *streamsDraft) readBy(set taskSet) []stateTopic {
	var read []stateTopic
	topics := d.s.topics()
	for _, part := range bySubtopology(set) {
		sub := d.configured.Subtopology(part.id)
		if sub == nil {
			continue
		}
		names := map[string]bool{}
		for _, name := range sub.Sources {
			names[name] = true
		}
		for _, t := range sub.RepartitionSources {
			names[t.Name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			t, ok := topics.Topic(d.key.tenant, name)
			if there := slices.DeleteFunc(slices.Clone(part.partitions), func(p int32) bool { return p >= t.Partitions }); ok {
				read = append(read, stateTopic{name, there})
			}
		}
	}
	return read
}
