// Package chaos holds the promise that nothing acknowledged is lost against real processes that are killed under load.
//
// A Ledger notes what was sent and what the broker acknowledged; Check compares it with everything that is read back
// once the faults are over and names each anomaly. The checks themselves are proven on planted histories
// (ledger_test.go): a checker that cannot fail proves nothing. The runs with real processes carry the build tag e2e;
// CHAOS_ROUNDS sets how often the broker is killed, or the power of its disk fails.
//
// For a cluster (cluster_test.go, nemesis_test.go) a flow of clients is recorded operation by operation and judged by package
// checker; a nemesis chooses kills, pauses, cuts, restarts and power losses by CHAOS_SEED, wants progress wherever a
// majority can give it, and at the end every replica byte by byte the same. regression_test.go has the schedules that broke
// others, by name; gap_test.go measures how long a partition takes nothing.
//
// Faults of disks need root: file systems in files are mounted, filled and shut down. What the runs need besides, strace and
// xfs_io, they install.
package chaos
