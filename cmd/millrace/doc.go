// Command millrace is the one binary of Millrace: the broker, and the command line that works with any cluster that speaks
// the Kafka protocol.
//
// Owns: flags, profiles, output, exit codes. Does not own: anything a broker does. A client verb reaches a cluster only
// through the Kafka protocol (kgo and kadm), so that what the command line can do, any client can do.
//
// One verb is one file (topic_create.go holds `topic create`). What verbs share:
//
//	settings.go    the keys a connection can have, and who wins: flag > -X > MILLRACE_* > profile > defaults
//	configfile.go  config.yaml with its profiles
//	client.go      settings -> kgo client
//	diagnose.go    why an address does not answer; outage.go says so under a command that runs on
//	checks.go      what health and doctor look at
//	scan.go        reading windows of partitions; window.go works them out
//	output.go      table, wide, json, jsonl, yaml
//	errors.go      errors -> exit codes
//	offsets.go     the offset grammar (pure)
//	records.go     records as JSON, both ways (pure); recordformat.go, recordsource.go the other ways
//
// Invariants: standard output carries data only, everything said to a person goes to standard error; prompts appear only on a
// terminal; exit codes are 0 ok, 1 something failed, 2 usage, 3 denied, 4 not found, 10 unhealthy.
package main
