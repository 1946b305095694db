// Package coordinator runs log-backed state machines: one shard per partition of an internal topic.
package coordinator
