package config

// networkDefinitions are the settings of connections and requests. Names, types and defaults are Kafka's.
func networkDefinitions() []*Definition {
	return []*Definition{
		{Name: "advertised.listeners", Type: List, NoDefault: true, Documentation: "Addresses that clients are told; by default what each client dialled."},
		{Name: "background.threads", Type: Int, Default: "10", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads for background work."},
		{Name: "connection.failed.authentication.delay.ms", Type: Int, Default: "100", valid: atLeast(0), Inert: true, Documentation: "Pause before a connection that failed to authenticate is closed, in milliseconds."},
		{Name: "connections.max.idle.ms", Type: Long, Default: "600000", Documentation: "A connection that is idle for longer is closed, in milliseconds."},
		{Name: "fetch.max.bytes", Type: Int, Default: "57671680", valid: atLeast(1024), Documentation: "Most bytes that one Fetch is answered with."},
		{Name: "listener.security.protocol.map", Type: String, Default: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Mode: PerBroker, Inert: true, Documentation: "Security protocol of each listener name."},
		{Name: "listeners", Type: List, Default: "PLAINTEXT://:9092", Mode: PerBroker, Documentation: "Addresses that the broker listens on."},
		{Name: "max.connection.creation.rate", Type: Int, Default: "2147483647", Mode: ClusterWide, valid: atLeast(0), Inert: true, Documentation: "Most new connections a second."},
		{Name: "max.connections", Type: Int, Default: "2147483647", Mode: ClusterWide, valid: atLeast(0), Documentation: "Most connections to the broker."},
		{Name: "max.connections.per.ip", Type: Int, Default: "2147483647", Mode: ClusterWide, valid: atLeast(0), Documentation: "Most connections from one IP address."},
		{Name: "max.connections.per.ip.overrides", Type: String, Mode: ClusterWide, Inert: true, Documentation: "Bounds on connections for single hosts or addresses, as host:count pairs."},
		{Name: "max.incremental.fetch.session.cache.slots", Type: Int, Default: "1000", valid: atLeast(0), Documentation: "Incremental fetch sessions that the broker keeps."},
		{Name: "max.request.partition.size.limit", Type: Int, Default: "2000", valid: atLeast(1), Documentation: "Most partitions that one DescribeTopicPartitions answers with."},
		{Name: "num.io.threads", Type: Int, Default: "8", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads that process requests; Millrace has one goroutine for each connection."},
		{Name: "num.network.threads", Type: Int, Default: "3", Mode: ClusterWide, valid: atLeast(1), Inert: true, Documentation: "Threads that serve sockets; Millrace has one goroutine for each connection."},
		{Name: "queued.max.request.bytes", Type: Long, Default: "-1", Inert: true, Documentation: "Bytes of requests that may wait before reading stops; -1: no bound."},
		{Name: "queued.max.requests", Type: Int, Default: "500", valid: atLeast(1), Inert: true, Documentation: "Requests that may wait for a thread before reading stops."},
		{Name: "request.timeout.ms", Type: Int, Default: "30000", Inert: true, Documentation: "How long the broker waits for an answer to its own requests, in milliseconds."},
		{Name: "socket.connection.setup.timeout.max.ms", Type: Long, Default: "30000", Inert: true, Documentation: "Longest wait for the broker's own connections after several attempts, in milliseconds."},
		{Name: "socket.connection.setup.timeout.ms", Type: Long, Default: "10000", Inert: true, Documentation: "How long the broker waits for its own connections to be made, in milliseconds."},
		{Name: "socket.listen.backlog.size", Type: Int, Default: "50", valid: atLeast(1), Inert: true, Documentation: "Connections that may wait to be accepted."},
		{Name: "socket.receive.buffer.bytes", Type: Int, Default: "102400", Documentation: "Receive buffer of a connection, in bytes; -1: the operating system's default."},
		{Name: "socket.request.max.bytes", Type: Int, Default: "104857600", valid: atLeast(1), Documentation: "Largest request that is accepted, in bytes."},
		{Name: "socket.send.buffer.bytes", Type: Int, Default: "102400", Documentation: "Send buffer of a connection, in bytes; -1: the operating system's default."},
	}
}
