// Package sim is a whole cluster in one goroutine, decided by one seed: the pure cores that run in the brokers
// (broker/replica/isr, metadata/controller on image and command) between a simulated network, disks, clocks and metadata
// log.
//
//	seed ─> World ─> events in the order of time ─┬─> node: leaderships, followings, disk, clock   (the shells, simulated)
//	                                              ├─> metadata: a log, a controller that changes    (the cores, real)
//	                                              ├─> clients: produce, read
//	                                              └─> faults: kill, power loss, pause, cut, skew, wiped disk
//	                    each step ─> promises kept? ─> Violation with the trace
//
// It owns the simulation of everything that the cores leave to a shell, the faults, and the promises that are looked at after
// every step (promises.go). A run has two phases: faults and load; then everything is mended and the cluster must converge and
// serve.
//
// With transactions (Config.Transactions) the logs are real ones on file systems in memory (broker/log on broker/vfs, recovered
// after every crash, with a shadow that says what has to be on them), and in every process run the real transaction coordinator, group
// coordinator and verifier (broker/txn, broker/group on broker/coordinator, broker/verify). They have goroutines and timers of their
// own, which bubble.go keeps from being a source of chance.
//
//	producers (both versions, zombies, replaced ones) ─> request ─> proxy: late, twice ─> serving.go: as package api does
//	     └─> ledger: what they did and were told               coordinators ─> coordinatorlog.go ─> logs, replicated
//	                   └─> held against what read_committed readers were shown, and what is left at the end
//
// Invariants: one goroutine, no clock, no map is walked, so a seed gives the same run for ever; each Mutant, a shell that
// does one thing wrong, is caught by some seed of the few that the tests try; and real code that takes part gets messages one by one,
// each when everything is still.
package sim
