package sim

import (
	"flag"
	"os"
	"runtime/debug"
	"testing"
)

var (
	seed  = flag.Uint64("seed", 0, "run this seed alone, with its trace")
	seeds = flag.Int("seeds", 0, "how many seeds to run; 0: a few")
	first = flag.Uint64("first", 1, "the first seed")
	plant = flag.Int("mutant", 0, "with -seed: the planted fault, by its number")
)

// A seed makes much garbage and keeps little. With transactions a seventh of it outlives one collection, as what synctest knows has
// finalizers: without the limit each collection would have a larger goal than the last, by thousands of seeds gigabytes.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	debug.SetMemoryLimit(512 << 20)
	os.Exit(m.Run())
}

func run(t *testing.T, cfg Config) *World {
	t.Helper()
	w := New(cfg)
	if err := w.Run(); err != nil {
		t.Errorf("%v\nreplay: go test ./e2e/sim -run TestSeed -seed %d -v", err, cfg.Seed)
	}
	return w
}

// count is how many seeds are asked for, or are a few.
func count(few uint64) uint64 {
	if *seeds > 0 {
		return uint64(*seeds)
	}
	return few
}

// TestSeed runs seeds one after the other, or the one that -seed names.
func TestSeed(t *testing.T) {
	if *seed != 0 {
		w := run(t, Config{Seed: *seed, Mutant: Mutant(*plant), Trace: true})
		t.Logf("%s\n%+v digest %x", w.Trace(800), w.Stats, w.digest)
		return
	}
	var all Stats
	for s := *first; s < *first+count(150) && !t.Failed(); s++ {
		all.add(run(t, Config{Seed: s}).Stats)
	}
	t.Logf("%d seeds: %+v", count(150), all)
	if all.Acked == 0 || all.Kills == 0 || all.PowerLosses == 0 || all.Wipes == 0 || all.Cuts == 0 || all.Truncations == 0 || all.CleanStops == 0 || all.Read == 0 {
		t.Errorf("some of what should happen never happened: %+v", all)
	}
}

func (s *Stats) add(o Stats) {
	s.Steps += o.Steps
	s.Sent += o.Sent
	s.Acked += o.Acked
	s.Read += o.Read
	s.Committed += o.Committed
	s.Elections += o.Elections
	s.Controllers += o.Controllers
	s.Kills += o.Kills
	s.PowerLosses += o.PowerLosses
	s.Wipes += o.Wipes
	s.Pauses += o.Pauses
	s.Cuts += o.Cuts
	s.CleanStops += o.CleanStops
	s.Truncations += o.Truncations
	s.Transactions += o.Transactions
	s.Commits += o.Commits
	s.Aborts += o.Aborts
	s.Unknown += o.Unknown
	s.Refusals += o.Refusals
	s.Offsets += o.Offsets
	s.Timeouts += o.Timeouts
	s.Zombies += o.Zombies
	s.Meddled += o.Meddled
	s.Exhausted += o.Exhausted
	s.Expired += o.Expired
	s.Deleted += o.Deleted
}

// The same seed is the same run, to the last step.
func TestSeedsReplayExactly(t *testing.T) {
	for s := range uint64(5) {
		a, b := New(Config{Seed: s + 1}), New(Config{Seed: s + 1})
		_, _ = a.Run(), b.Run()
		if a.digest != b.digest || a.steps != b.steps {
			t.Errorf("seed %d ran to digest %x in %d steps and to %x in %d", s+1, a.digest, a.steps, b.digest, b.steps)
		}
	}
}

// mutantSeeds bounds how many seeds a planted fault may take to be seen.
const mutantSeeds = 150

// Each planted fault is seen within a few seeds: a simulator that sees nothing proves nothing.
func TestPlantedFaultsAreSeen(t *testing.T) {
	for _, m := range mutants(false) {
		t.Run(m.String(), func(t *testing.T) {
			for s := uint64(1); s <= mutantSeeds; s++ {
				if err := New(Config{Seed: s, Mutant: m}).Run(); err != nil {
					t.Logf("%v", err)
					return
				}
			}
			t.Errorf("not seen in %d seeds", mutantSeeds)
		})
	}
}
