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
// Invariants: one goroutine, no clock, no map is walked, so a seed gives the same run for ever; and each Mutant, a shell that
// does one thing wrong, is caught by some seed of the few that the tests try.
package sim
