// Package broker puts one node together: it owns the order in which its parts start and stop, and the small adapters that
// close the seams between them. What the parts do is in their own packages.
//
//	metadata ──deltas──> replica ──> log directories
//	    │                   ▲
//	    │                   ├── api (produce, fetch, ...) <── server <── Kafka clients
//	    └──deltas──> group ─┘ (through internalLog)
//	                                          gateway <── /metrics, /healthz
//
// Invariants: nothing is acknowledged before every part below is up, and a part stops only after everybody who calls it
// has stopped. A storage error of the metadata log ends the process; one of a log directory ends that directory alone,
// unless it was the last.
package broker
