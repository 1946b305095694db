package config

// transactionsDefinitions are the settings of transactions and producer ids. Names, types and defaults are Kafka's.
func transactionsDefinitions() []*Definition {
	return []*Definition{
		{Name: "add.partitions.to.txn.retry.backoff.max.ms", Type: Int, Default: "100", valid: atLeast(0), Documentation: "How long a broker tries to add a partition while the producer's last transaction is being completed, in milliseconds."},
		{Name: "add.partitions.to.txn.retry.backoff.ms", Type: Int, Default: "20", valid: atLeast(1), Documentation: "Longest pause before a partition is added to a transaction again, in milliseconds."},
		{Name: "producer.id.expiration.check.interval.ms", Type: Int, Default: "600000", Internal: true, valid: atLeast(1), Documentation: "Pause between two searches for expired producers, in milliseconds."},
		{Name: "producer.id.expiration.ms", Type: Int, Default: "86400000", Mode: ClusterWide, valid: atLeast(1), Documentation: "How long the state of an idle producer is kept, in milliseconds."},
		{Name: "transaction.abort.timed.out.transaction.cleanup.interval.ms", Type: Int, Default: "10000", valid: atLeast(1), Inert: true, Documentation: "Pause between two searches for transactions that timed out, in milliseconds. Here they are aborted in time, without a search."},
		{Name: "transaction.max.timeout.ms", Type: Int, Default: "900000", valid: atLeast(1), Documentation: "Longest timeout that a transaction may ask for, in milliseconds."},
		{Name: "transaction.partition.verification.enable", Type: Boolean, Default: "true", Mode: ClusterWide, Documentation: "Asks the coordinator whether a partition belongs to a transaction before the first write."},
		{Name: "transaction.remove.expired.transaction.cleanup.interval.ms", Type: Int, Default: "3600000", valid: atLeast(1), Documentation: "Pause between two searches for expired transactional ids, in milliseconds."},
		{Name: "transaction.state.log.load.buffer.size", Type: Int, Default: "5242880", valid: atLeast(1), Inert: true, Documentation: "Bytes read at once when transactions are loaded."},
		{Name: "transaction.state.log.min.isr", Type: Int, Default: "2", valid: atLeast(1), Documentation: "In-sync replicas that a write to the transaction topic needs."},
		{Name: "transaction.state.log.num.partitions", Type: Int, Default: "50", valid: atLeast(1), Documentation: "Partitions of the transaction topic."},
		{Name: "transaction.state.log.replication.factor", Type: Short, Default: "3", valid: atLeast(1), Documentation: "Replicas of the transaction topic."},
		{Name: "transaction.state.log.segment.bytes", Type: Int, Default: "104857600", valid: atLeast(1), Documentation: "Largest segment of the transaction topic, in bytes."},
		{Name: "transaction.two.phase.commit.enable", Type: Boolean, Default: "false", Inert: true, Documentation: "Allows transactions that take part in a two-phase commit."},
		{Name: "transactional.id.expiration.ms", Type: Int, Default: "604800000", valid: atLeast(1), Documentation: "How long an idle transactional id is kept, in milliseconds."},
	}
}
