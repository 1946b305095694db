// Package harness starts real programs for the end-to-end suites: Millrace built from this tree, Apache Kafka from
// Maven, and the foreign clients that talk to both.
//
// It owns: building the binary, free loopback addresses, waiting until a server answers, stopping and killing it,
// its log and the verdict on that log, and fetching parts (Java classpath, npm packages, a Python environment, kcat,
// Go drivers) into a cache that outlives a run. It does not own what a suite asserts.
//
//	StartMillrace ──┐
//	                ├─> Process (own process group, log file) ─> Stop | Kill ─> log judged at the test's end
//	StartKafka ─────┘
//
// Invariants:
//   - every process started here is gone when its test ends, with its whole process group;
//   - a panic, a BUG or an ERROR line that the test did not allow fails the test that started the process;
//   - a missing part is installed or the test fails: nothing is skipped.
package harness
