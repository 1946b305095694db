package config

// tieredDefinitions are the settings of tiered storage. Names, types and defaults are Kafka's.
func tieredDefinitions() []*Definition {
	return []*Definition{
		{Name: "follower.fetch.last.tiered.offset.enable", Type: Boolean, Default: "false", Mode: ClusterWide, Inert: true, Documentation: "Lets an empty follower begin at the last tiered offset."},
		{Name: "log.local.retention.bytes", Type: Long, Default: "-2", Mode: ClusterWide, valid: atLeast(-2), Inert: true, Documentation: "How many bytes of a tiered log stay on local disk; -2: as many as log.retention.bytes says."},
		{Name: "log.local.retention.ms", Type: Long, Default: "-2", Mode: ClusterWide, valid: atLeast(-2), Inert: true, Documentation: "How long a tiered log stays on local disk, in milliseconds; -2: as long as log.retention.ms says."},
		{Name: "remote.fetch.max.wait.ms", Type: Int, Default: "500", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "How long a fetch may wait for remote storage, in milliseconds."},
		{Name: "remote.list.offsets.request.timeout.ms", Type: Long, Default: "30000", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "How long ListOffsets may wait for remote storage, in milliseconds."},
		{Name: "remote.log.index.file.cache.total.size.bytes", Type: Long, Default: "1073741824", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Disk space for cached indexes of remote segments, in bytes."},
		{Name: "remote.log.index.file.cache.ttl.ms", Type: Long, Default: "900000", Internal: true, valid: atLeast(-1), Inert: true, Documentation: "How long an unused cached index of a remote segment stays, in milliseconds."},
		{Name: "remote.log.manager.copier.thread.pool.size", Type: Int, Default: "10", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads that copy segments to remote storage."},
		{Name: "remote.log.manager.copy.max.bytes.per.second", Type: Long, Default: "9223372036854775807", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Bound on the copying to remote storage, in bytes a second."},
		{Name: "remote.log.manager.copy.quota.window.num", Type: Int, Default: "11", valid: atLeast(1), Inert: true, Documentation: "Samples kept for the bound on copying."},
		{Name: "remote.log.manager.copy.quota.window.size.seconds", Type: Int, Default: "1", valid: atLeast(1), Inert: true, Documentation: "Length of a sample for the bound on copying, in seconds."},
		{Name: "remote.log.manager.expiration.thread.pool.size", Type: Int, Default: "10", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads that remove expired remote segments."},
		{Name: "remote.log.manager.fetch.max.bytes.per.second", Type: Long, Default: "9223372036854775807", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Bound on reading from remote storage, in bytes a second."},
		{Name: "remote.log.manager.fetch.quota.window.num", Type: Int, Default: "11", valid: atLeast(1), Inert: true, Documentation: "Samples kept for the bound on remote reads."},
		{Name: "remote.log.manager.fetch.quota.window.size.seconds", Type: Int, Default: "1", valid: atLeast(1), Inert: true, Documentation: "Length of a sample for the bound on remote reads, in seconds."},
		{Name: "remote.log.manager.follower.thread.pool.size", Type: Int, Default: "2", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads for the remote log tasks of follower partitions."},
		{Name: "remote.log.manager.task.interval.ms", Type: Long, Default: "30000", valid: atLeast(1), Inert: true, Documentation: "Pause between two runs of the tiered storage tasks, in milliseconds."},
		{Name: "remote.log.manager.task.retry.backoff.max.ms", Type: Long, Default: "30000", Internal: true, valid: atLeast(1), Inert: true, Documentation: "Longest pause before a failed tiered storage task is tried again, in milliseconds."},
		{Name: "remote.log.manager.task.retry.backoff.ms", Type: Long, Default: "500", Internal: true, valid: atLeast(1), Inert: true, Documentation: "First pause before a failed tiered storage task is tried again, in milliseconds."},
		{Name: "remote.log.manager.task.retry.jitter", Type: Double, Default: "0.2", Internal: true, valid: between(0, 0.5), Inert: true, Documentation: "Random share added to the pause before a retry."},
		{Name: "remote.log.manager.thread.pool.size", Type: Int, Default: "2", valid: atLeast(1), Inert: true, Documentation: "Threads for tasks of tiered storage."},
		{Name: "remote.log.metadata.custom.metadata.max.bytes", Type: Int, Default: "128", valid: atLeast(0), Inert: true, Documentation: "Largest custom metadata of a remote segment, in bytes."},
		{Name: "remote.log.metadata.manager.class.name", Type: String, Default: "org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager", valid: nonEmpty, Inert: true, Documentation: "Class of the remote log metadata plugin."},
		{Name: "remote.log.metadata.manager.class.path", Type: String, NoDefault: true, Inert: true, Documentation: "Class path of the remote log metadata plugin."},
		{Name: "remote.log.metadata.manager.impl.prefix", Type: String, Default: "rlmm.config.", valid: nonEmpty, Inert: true, Documentation: "Prefix of the settings handed to the remote log metadata plugin."},
		{Name: "remote.log.metadata.manager.listener.name", Type: String, NoDefault: true, valid: nonEmpty, Inert: true, Documentation: "Listener that the remote log metadata plugin connects to."},
		{Name: "remote.log.reader.max.pending.tasks", Type: Int, Default: "100", valid: atLeast(1), Inert: true, Documentation: "Remote reads that may wait for a thread."},
		{Name: "remote.log.reader.threads", Type: Int, Default: "10", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads that read from remote storage."},
		{Name: "remote.log.storage.manager.class.name", Type: String, NoDefault: true, valid: nonEmpty, Inert: true, Documentation: "Class of the remote storage plugin."},
		{Name: "remote.log.storage.manager.class.path", Type: String, NoDefault: true, Inert: true, Documentation: "Class path of the remote storage plugin."},
		{Name: "remote.log.storage.manager.impl.prefix", Type: String, Default: "rsm.config.", valid: nonEmpty, Inert: true, Documentation: "Prefix of the settings handed to the remote storage plugin."},
		{Name: "remote.log.storage.system.enable", Type: Boolean, Default: "false", Inert: true, Documentation: "Turns tiered storage on for the broker."},
	}
}
