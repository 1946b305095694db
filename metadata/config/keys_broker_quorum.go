package config

// quorumDefinitions are the settings of the node and the metadata quorum. Names, types and defaults are Kafka's, but for
// the heartbeats: Kafka's defaults (2 and 9 seconds) alone would be the longest part of a failover.
func quorumDefinitions() []*Definition {
	return []*Definition{
		{Name: "broker.heartbeat.interval.ms", Type: Int, Default: "500", Documentation: "Pause between two heartbeats of a broker to the controller, in milliseconds."},
		{Name: "broker.id", Type: Int, Default: "-1", Inert: true, Documentation: "Number of the broker; the same as node.id."},
		{Name: "broker.session.timeout.ms", Type: Int, Default: "3000", Documentation: "A broker whose heartbeats stay out for so long is fenced, in milliseconds."},
		{Name: "controller.listener.names", Type: List, NoDefault: true, Inert: true, Documentation: "Listeners that the controller is reached by."},
		{Name: "controller.performance.always.log.threshold.ms", Type: Long, Default: "2000", Internal: true, valid: atLeast(0), Inert: true, Documentation: "A controller event that takes longer is logged, in milliseconds."},
		{Name: "controller.performance.sample.period.ms", Type: Long, Default: "60000", Internal: true, valid: atLeast(100), Inert: true, Documentation: "Period over which slow controller events are counted, in milliseconds."},
		{Name: "controller.quorum.append.linger.ms", Type: Int, Default: "25", valid: atLeast(0), Inert: true, Documentation: "How long the leader of the metadata quorum gathers writes, in milliseconds."},
		{Name: "controller.quorum.auto.join.enable", Type: Boolean, Default: "false", Inert: true, Documentation: "Makes a new controller join the metadata quorum by itself."},
		{Name: "controller.quorum.bootstrap.servers", Type: List, Inert: true, Documentation: "Addresses by which the metadata quorum is found."},
		{Name: "controller.quorum.election.backoff.max.ms", Type: Int, Default: "1000", valid: atLeast(0), Inert: true, Documentation: "Longest pause between two elections, in milliseconds."},
		{Name: "controller.quorum.election.timeout.ms", Type: Int, Default: "1000", valid: atLeast(0), Inert: true, Documentation: "How long a voter waits for votes, in milliseconds."},
		{Name: "controller.quorum.fetch.max.bytes", Type: Int, Default: "1048576", valid: atLeast(1), Inert: true, Documentation: "Bytes of the metadata log fetched at once."},
		{Name: "controller.quorum.fetch.snapshot.max.bytes", Type: Int, Default: "1048576", valid: atLeast(1), Inert: true, Documentation: "Bytes of a metadata snapshot fetched at once."},
		{Name: "controller.quorum.fetch.timeout.ms", Type: Int, Default: "2000", valid: atLeast(0), Inert: true, Documentation: "How long a voter waits for the leader before it calls an election, in milliseconds."},
		{Name: "controller.quorum.request.timeout.ms", Type: Int, Default: "2000", valid: atLeast(0), Inert: true, Documentation: "How long a member of the metadata quorum waits for an answer, in milliseconds."},
		{Name: "controller.quorum.retry.backoff.ms", Type: Int, Default: "20", valid: atLeast(0), Inert: true, Documentation: "Pause before a request of the metadata quorum is tried again, in milliseconds."},
		{Name: "controller.quorum.voters", Type: List, Inert: true, Documentation: "Voters of the metadata quorum, as id@host:port."},
		{Name: "controller.quota.window.num", Type: Int, Default: "11", valid: atLeast(1), Inert: true, Documentation: "Samples kept for quotas on changes of metadata."},
		{Name: "controller.quota.window.size.seconds", Type: Int, Default: "1", valid: atLeast(1), Inert: true, Documentation: "Length of a sample for quotas on changes of metadata, in seconds."},
		{Name: "controller.socket.timeout.ms", Type: Int, Default: "30000", Inert: true, Documentation: "How long the controller waits for brokers, in milliseconds."},
		{Name: "initial.broker.registration.timeout.ms", Type: Int, Default: "60000", Inert: true, Documentation: "How long a starting broker waits to be registered, in milliseconds."},
		{Name: "internal.metadata.delete.delay.millis", Type: Long, Default: "60000", Internal: true, Inert: true, Documentation: "Pause before files of the metadata log are removed in tests, in milliseconds."},
		{Name: "internal.metadata.log.segment.bytes", Type: Int, NoDefault: true, Internal: true, Inert: true, Documentation: "Largest segment of the metadata log in tests, in bytes."},
		{Name: "internal.metadata.max.batch.size.in.bytes", Type: Int, Default: "8388608", Internal: true, Inert: true, Documentation: "Largest batch of metadata records in tests, in bytes."},
		{Name: "metadata.log.dir", Type: String, NoDefault: true, Inert: true, Documentation: "Directory of the metadata log."},
		{Name: "metadata.log.max.record.bytes.between.snapshots", Type: Long, Default: "20971520", valid: atLeast(1), Inert: true, Documentation: "Bytes of new metadata records after which a snapshot is made."},
		{Name: "metadata.log.max.snapshot.interval.ms", Type: Long, Default: "3600000", valid: atLeast(0), Inert: true, Documentation: "Time after which a metadata snapshot is made if there is anything new, in milliseconds."},
		{Name: "metadata.log.segment.bytes", Type: Int, Default: "1073741824", valid: atLeast(8388608), Inert: true, Documentation: "Largest segment of the metadata log, in bytes."},
		{Name: "metadata.log.segment.ms", Type: Long, Default: "604800000", Inert: true, Documentation: "Age at which a segment of the metadata log is closed, in milliseconds."},
		{Name: "metadata.max.idle.interval.ms", Type: Int, Default: "500", valid: atLeast(0), Inert: true, Documentation: "How often an idle controller writes an empty record, in milliseconds."},
		{Name: "metadata.max.retention.bytes", Type: Long, Default: "104857600", Inert: true, Documentation: "Bytes of the metadata log that are kept."},
		{Name: "metadata.max.retention.ms", Type: Long, Default: "604800000", Inert: true, Documentation: "How long the metadata log is kept, in milliseconds."},
		{Name: "node.id", Type: Int, NoDefault: true, valid: atLeast(0), Documentation: "Number of the node."},
		{Name: "process.roles", Type: List, NoDefault: true, valid: listOf("broker", "controller"), Inert: true, Documentation: "Roles of the process: broker, controller or both."},
		{Name: "server.max.startup.time.ms", Type: Long, Default: "9223372036854775807", Internal: true, valid: atLeast(0), Inert: true, Documentation: "A start that takes longer is given up, in milliseconds."},
	}
}
