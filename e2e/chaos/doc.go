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
// others, by name; gap_test.go measures how long a partition takes nothing. five_test.go takes the quorum away.
//
// That these runs can fail is proven, too: planted_test.go runs them against a binary that has a bug of broker/planted, chosen by
// MILLRACE_PLANTED, one for each anomaly, and wants it named; the same run of the ordinary binary must be clean. Two of its
// readers are of a kind that no application is: one takes what the broker sends as it comes, where consumers leave out what lies
// before the offset that they asked for, and one reads within its transaction, without which there is no circle to find.
//
// Faults of disks need root: file systems in files are mounted, filled and shut down. What the runs need besides, strace and
// xfs_io, they install.
package chaos
