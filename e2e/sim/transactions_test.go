package sim

import (
	"testing"
	"testing/synctest"
)

// fewTransactions is how many seeds of transactions a run of the tests tries: one has real logs and coordinators in it, and takes as
// long as five others.
const fewTransactions = 12

// runTransactions runs a world with transactions in a bubble of its own.
func runTransactions(t *testing.T, cfg Config) (w *World, err error) {
	t.Helper()
	cfg.Transactions = true
	synctest.Test(t, func(*testing.T) {
		w = New(cfg)
		err = w.Run()
		w.Close()
	})
	return w, err
}

// TestTransactionSeed runs seeds with transactions one after the other, or the one that -seed names.
func TestTransactionSeed(t *testing.T) {
	if *seed != 0 {
		w, err := runTransactions(t, Config{Seed: *seed, Mutant: Mutant(*plant), Trace: true})
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s\n%+v digest %x", w.Trace(1500), w.Stats, w.digest)
		return
	}
	var all Stats
	for s := *first; s < *first+count(fewTransactions) && !t.Failed(); s++ {
		w, err := runTransactions(t, Config{Seed: s})
		if err != nil {
			t.Errorf("%v\nreplay: go test ./e2e/sim -run TestTransactionSeed -seed %d -v", err, s)
		}
		all.add(w.Stats)
	}
	t.Logf("%d seeds: %+v", count(fewTransactions), all)
	if all.Commits == 0 || all.Aborts == 0 || all.Unknown == 0 || all.Refusals == 0 || all.Offsets == 0 || all.Zombies == 0 || all.Meddled == 0 || all.Timeouts == 0 || all.Exhausted == 0 || all.Expired == 0 || all.Deleted == 0 ||
		all.Kills == 0 || all.PowerLosses == 0 || all.Pauses == 0 || all.Elections == 0 || all.Truncations == 0 {
		t.Errorf("some of what should happen never happened: %+v", all)
	}
}

// The same seed is the same run, though goroutines take part in it.
func TestTransactionSeedsReplayExactly(t *testing.T) {
	for s := range uint64(3) {
		a, _ := runTransactions(t, Config{Seed: s + 1})
		b, _ := runTransactions(t, Config{Seed: s + 1})
		if a.digest != b.digest || a.steps != b.steps {
			t.Errorf("seed %d ran to digest %x in %d steps and to %x in %d", s+1, a.digest, a.steps, b.digest, b.steps)
		}
	}
}

// Each planted fault of transactions is seen within a few seeds. Those before the first one tried here do not show it, which is not worth
// a minute of everybody's time; a change of the world may move them.
func TestPlantedFaultsOfTransactionsAreSeen(t *testing.T) {
	shownBy := map[Mutant]uint64{SkipsVerification: 38, TakesLateMarkers: 64, WaitsForDeletedPartitions: 10, GivesIDsTwice: 38}
	for _, m := range mutants(true) {
		t.Run(m.String(), func(t *testing.T) {
			from := max(shownBy[m], 1)
			for s := from; s < from+mutantSeeds; s++ {
				if _, err := runTransactions(t, Config{Seed: s, Mutant: m}); err != nil {
					t.Logf("%v", err)
					return
				}
			}
			t.Errorf("not seen in %d seeds", mutantSeeds)
		})
	}
}
