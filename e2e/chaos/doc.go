// Package chaos holds the promise that nothing acknowledged is lost against real processes that are killed under load.
//
// A Ledger notes what was sent and what the broker acknowledged; Check compares it with everything that is read back
// once the faults are over and names each anomaly. The checks themselves are proven on planted histories
// (ledger_test.go): a checker that cannot fail proves nothing. The runs with real processes carry the build tag e2e;
// CHAOS_ROUNDS sets how often the broker is killed, or the power of its disk fails.
//
// Faults of disks need root: file systems in files are mounted, filled and shut down. What the runs need besides, strace and
// xfs_io, they install.
package chaos
