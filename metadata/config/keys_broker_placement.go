package config

// placementDefinitions are our own settings of where replicas lie.
func placementDefinitions() []*Definition {
	return []*Definition{
		{Name: "millrace.balance.concurrent.moves", Type: Int, Default: "10", Mode: ClusterWide, valid: between(1, 1000), Documentation: "Partitions that are moved at once while brokers are drained or balanced."},
		{Name: "millrace.balance.enable", Type: Boolean, Default: "true", Mode: ClusterWide, Documentation: "Balances replicas over brokers by size and traffic when a broker joins or leaves; false cancels the moves under way."},
		{Name: "millrace.balance.throttle.bytes.per.second", Type: Long, Default: "52428800", Mode: ClusterWide, valid: atLeast(1), Documentation: "Bound on what a broker copies while replicas are drained or balanced, in bytes a second."},
		{Name: "millrace.drain", Type: Boolean, Default: "false", Mode: PerBroker, Documentation: "Moves the broker's replicas and leaderships to others, so that it can be taken away; false cancels the moves under way."},
	}
}
