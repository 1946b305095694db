// Package ecosystem runs what people build on Kafka against three brokers of Millrace while brokers and the programs
// themselves are killed, and compares what comes out with a model: Kafka Streams with exactly-once, Kafka Connect with an
// exactly-once source, MirrorMaker 2 from a real Apache Kafka.
//
// It owns: the Java programs in java/, their dependencies (pom.xml), the loads and the models. It does not own starting
// servers (package harness).
//
//	load ──> topics ──> program, killed now and then ──> topics ──> read_committed ──> model says what must be there
//
// ECOSYSTEM_SECONDS is how long the load runs (default 25); ECOSYSTEM_SERVER=kafka runs the same against one Apache Kafka,
// of which nothing is killed but the programs: that shows that a test asks for what Kafka does.
package ecosystem
