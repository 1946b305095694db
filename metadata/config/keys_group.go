package config

// groupDefinitions are the settings of groups. Names, types and defaults are Kafka's.
func groupDefinitions() []*Definition {
	return []*Definition{
		{Name: "consumer.assignment.interval.ms", Type: Int, Default: "1000", Synonyms: []string{"group.consumer.assignment.interval.ms"}, valid: atLeast(0), Documentation: "Least time between two assignments of a consumer group, in milliseconds."},
		{Name: "consumer.heartbeat.interval.ms", Type: Int, Default: "5000", Synonyms: []string{"group.consumer.heartbeat.interval.ms"}, valid: atLeast(1), Documentation: "Heartbeat interval told to members of a consumer group, in milliseconds."},
		{Name: "consumer.session.timeout.ms", Type: Int, Default: "45000", Synonyms: []string{"group.consumer.session.timeout.ms"}, valid: atLeast(1), Documentation: "A member of a consumer group whose heartbeats stay out for so long is removed, in milliseconds."},
		{Name: "share.assignment.interval.ms", Type: Int, Default: "1000", Synonyms: []string{"group.share.assignment.interval.ms"}, valid: atLeast(0), Documentation: "Least time between two assignments of a share group, in milliseconds."},
		{Name: "share.auto.offset.reset", Type: String, Default: "latest", valid: offsetReset, Documentation: "Where a share group begins: earliest, latest or by_duration:PnDTnHnMn.nS."},
		{Name: "share.delivery.count.limit", Type: Int, Default: "5", Synonyms: []string{"group.share.delivery.count.limit"}, valid: atLeast(2), Documentation: "Deliveries of a record before it is given up."},
		{Name: "share.heartbeat.interval.ms", Type: Int, Default: "5000", Synonyms: []string{"group.share.heartbeat.interval.ms"}, valid: atLeast(1), Documentation: "Heartbeat interval told to members of a share group, in milliseconds."},
		{Name: "share.isolation.level", Type: String, Default: "read_uncommitted", valid: oneOf("read_committed", "read_uncommitted"), Documentation: "Which transactional records a share group sees: read_committed or read_uncommitted."},
		{Name: "share.partition.max.record.locks", Type: Int, Default: "2000", Synonyms: []string{"group.share.partition.max.record.locks"}, valid: atLeast(100), Documentation: "Records of a partition that the group may hold at once."},
		{Name: "share.record.lock.duration.ms", Type: Int, Default: "30000", Synonyms: []string{"group.share.record.lock.duration.ms"}, valid: atLeast(1000), Documentation: "How long a share consumer holds a record, in milliseconds."},
		{Name: "share.renew.acknowledge.enable", Type: Boolean, Default: "true", Documentation: "Allows consumers to renew their hold of a record."},
		{Name: "share.session.timeout.ms", Type: Int, Default: "45000", Synonyms: []string{"group.share.session.timeout.ms"}, valid: atLeast(1), Documentation: "A member of a share group whose heartbeats stay out for so long is removed, in milliseconds."},
		{Name: "streams.assignment.interval.ms", Type: Int, Default: "1000", Synonyms: []string{"group.streams.assignment.interval.ms"}, valid: atLeast(0), Documentation: "Least time between two assignments of a streams group, in milliseconds."},
		{Name: "streams.heartbeat.interval.ms", Type: Int, Default: "5000", Synonyms: []string{"group.streams.heartbeat.interval.ms"}, valid: atLeast(1), Documentation: "Heartbeat interval told to members of a streams group, in milliseconds."},
		{Name: "streams.initial.rebalance.delay.ms", Type: Int, Default: "3000", Synonyms: []string{"group.streams.initial.rebalance.delay.ms"}, valid: atLeast(0), Documentation: "How long the first rebalance waits for more members, in milliseconds."},
		{Name: "streams.num.standby.replicas", Type: Int, Default: "0", Synonyms: []string{"group.streams.num.standby.replicas"}, valid: atLeast(0), Documentation: "Standby replicas of each task."},
		{Name: "streams.session.timeout.ms", Type: Int, Default: "45000", Synonyms: []string{"group.streams.session.timeout.ms"}, valid: atLeast(1), Documentation: "A member of a streams group whose heartbeats stay out for so long is removed, in milliseconds."},
	}
}
