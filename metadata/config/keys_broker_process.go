package config

// processDefinitions are the settings of the process: metrics, quotas, plugins. Names, types and defaults are Kafka's.
func processDefinitions() []*Definition {
	return []*Definition{
		{Name: "alter.log.dirs.replication.quota.window.num", Type: Int, Default: "11", valid: atLeast(1), Inert: true, Documentation: "Samples kept for quotas on moves between log directories."},
		{Name: "alter.log.dirs.replication.quota.window.size.seconds", Type: Int, Default: "1", valid: atLeast(1), Inert: true, Documentation: "Length of a sample for quotas on moves between log directories, in seconds."},
		{Name: "broker.rack", Type: String, NoDefault: true, Documentation: "Rack of the broker, which replicas are spread over."},
		{Name: "client.quota.callback.class", Type: Class, NoDefault: true, Inert: true, Documentation: "Plugin that decides client quotas."},
		{Name: "config.providers", Type: List, Mode: ClusterWide, Inert: true, Documentation: "Names of the plugins that resolve placeholders in settings."},
		{Name: "controlled.shutdown.enable", Type: Boolean, Default: "true", Inert: true, Documentation: "Hands leadership over before the broker stops."},
		{Name: "kafka.metrics.polling.interval.secs", Type: Int, Default: "10", valid: atLeast(1), Inert: true, Documentation: "Pause between two polls of the older metrics, in seconds."},
		{Name: "kafka.metrics.reporters", Type: List, Inert: true, Documentation: "Plugins that report the older metrics."},
		{Name: "metric.reporters", Type: List, Default: "org.apache.kafka.common.metrics.JmxReporter", Mode: ClusterWide, Inert: true, Documentation: "Plugins that report metrics."},
		{Name: "metrics.num.samples", Type: Int, Default: "2", valid: atLeast(1), Inert: true, Documentation: "Samples kept for a metric."},
		{Name: "metrics.recording.level", Type: String, Default: "INFO", Inert: true, Documentation: "How detailed metrics are: INFO, DEBUG or TRACE."},
		{Name: "metrics.sample.window.ms", Type: Long, Default: "30000", valid: atLeast(1), Inert: true, Documentation: "Length of a metric's sample, in milliseconds."},
		{Name: "quota.window.num", Type: Int, Default: "11", valid: atLeast(1), Inert: true, Documentation: "Samples kept for client quotas."},
		{Name: "quota.window.size.seconds", Type: Int, Default: "1", valid: atLeast(1), Inert: true, Documentation: "Length of a sample for client quotas, in seconds."},
		{Name: "telemetry.max.bytes", Type: Int, Default: "1048576", valid: atLeast(1), Inert: true, Documentation: "Largest push of a client's metrics, in bytes."},
		{Name: "unstable.api.versions.enable", Type: Boolean, Default: "false", Internal: true, Inert: true, Documentation: "Offers versions of APIs that are not released yet."},
		{Name: "unstable.feature.versions.enable", Type: Boolean, Default: "false", Internal: true, Inert: true, Documentation: "Offers versions of features that are not released yet."},
	}
}
