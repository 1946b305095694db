package config

// RackAwareReplicaSelector is the one selector of replicas for readers that Kafka brings, and the only one here.
const RackAwareReplicaSelector = "org.apache.kafka.common.replica.RackAwareReplicaSelector"

// replicationDefinitions are the settings of replication. Names, types and defaults are Kafka's.
func replicationDefinitions() []*Definition {
	return []*Definition{
		{Name: "auto.leader.rebalance.enable", Type: Boolean, Default: "true", Documentation: "Gives leadership back to preferred replicas by itself."},
		{Name: "default.replication.factor", Type: Int, Default: "1", Documentation: "Replicas of a partition when a topic's creation does not say."},
		{Name: "delete.records.purgatory.purge.interval.requests", Type: Int, Default: "1", Inert: true, Documentation: "Waiting DeleteRecords after which done ones are cleared away."},
		{Name: "fetch.purgatory.purge.interval.requests", Type: Int, Default: "1000", Inert: true, Documentation: "Waiting fetches after which done ones are cleared away."},
		{Name: "follower.replication.throttled.rate", Type: Long, Default: "9223372036854775807", Mode: ClusterWide, Internal: true, valid: atLeast(0), Documentation: "Bound on what throttled replicas copy to this broker, in bytes a second."},
		{Name: "inter.broker.listener.name", Type: String, NoDefault: true, Inert: true, Documentation: "Listener that brokers reach each other by."},
		{Name: "leader.imbalance.check.interval.seconds", Type: Long, Default: "300", valid: atLeast(1), Documentation: "Pause between two checks for leaders that are not preferred, in seconds."},
		{Name: "leader.replication.throttled.rate", Type: Long, Default: "9223372036854775807", Mode: ClusterWide, Internal: true, valid: atLeast(0), Documentation: "Bound on what followers of throttled replicas read from this broker, in bytes a second."},
		{Name: "num.replica.alter.log.dirs.threads", Type: Int, NoDefault: true, Inert: true, Documentation: "Threads that move replicas between log directories."},
		{Name: "num.replica.fetchers", Type: Int, Default: "1", Mode: ClusterWide, valid: atLeast(1), Documentation: "Fetchers of a follower for each leader."},
		{Name: "producer.purgatory.purge.interval.requests", Type: Int, Default: "1000", Inert: true, Documentation: "Waiting produce requests after which done ones are cleared away."},
		{Name: "replica.alter.log.dirs.io.max.bytes.per.second", Type: Long, Default: "9223372036854775807", Mode: ClusterWide, Internal: true, valid: atLeast(0), Inert: true, Documentation: "Bound on moving replicas between log directories, in bytes a second."},
		{Name: "replica.fetch.backoff.ms", Type: Int, Default: "1000", valid: atLeast(0), Documentation: "Pause of a follower after a failed fetch, in milliseconds."},
		{Name: "replica.fetch.max.bytes", Type: Int, Default: "1048576", valid: atLeast(0), Documentation: "Bytes that a follower asks for from one partition."},
		{Name: "replica.fetch.min.bytes", Type: Int, Default: "1", Inert: true, Documentation: "Bytes that a follower's fetch waits for."},
		{Name: "replica.fetch.response.max.bytes", Type: Int, Default: "10485760", valid: atLeast(0), Documentation: "Bytes that a follower asks for in one fetch."},
		{Name: "replica.fetch.wait.max.ms", Type: Int, Default: "500", Documentation: "How long a follower's fetch may wait at the leader, in milliseconds."},
		{Name: "replica.high.watermark.checkpoint.interval.ms", Type: Long, Default: "5000", Inert: true, Documentation: "Pause between two writes of the high watermarks to disk, in milliseconds."},
		{Name: "replica.lag.time.max.ms", Type: Long, Default: "30000", Documentation: "A follower that has not caught up for so long leaves the in-sync set, in milliseconds."},
		{Name: "replica.selector.class", Type: String, NoDefault: true, valid: oneOf(RackAwareReplicaSelector), Documentation: "Who chooses the replica that a consumer reads from (KIP-392): org.apache.kafka.common.replica.RackAwareReplicaSelector sends a consumer with client.rack to an in-sync replica on a broker of the same broker.rack; without it everybody reads from leaders. There is no other."},
		{Name: "replica.socket.receive.buffer.bytes", Type: Int, Default: "65536", Inert: true, Documentation: "Receive buffer of a follower's connection, in bytes."},
		{Name: "replica.socket.timeout.ms", Type: Int, Default: "30000", Inert: true, Documentation: "How long a follower waits for the leader's answer, in milliseconds."},
		{Name: "replication.quota.window.num", Type: Int, Default: "11", valid: atLeast(1), Inert: true, Documentation: "Samples kept for replication quotas."},
		{Name: "replication.quota.window.size.seconds", Type: Int, Default: "1", valid: atLeast(1), Inert: true, Documentation: "Length of a sample for replication quotas, in seconds."},
		{Name: "unclean.leader.election.enable", Type: Boolean, Default: "false", Mode: ClusterWide, Documentation: "Allows a replica that is not in sync to lead, at the price of lost records."},
		{Name: "unclean.leader.election.interval.ms", Type: Long, Default: "300000", Internal: true, valid: atLeast(1), Documentation: "Pause between two checks for unclean elections, in milliseconds."},
	}
}
