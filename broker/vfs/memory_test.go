package vfs

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// crashes is every way that m comes back in n tries, told by see, each once.
func crashes(m *Memory, n int, see func(after *Memory) string) []string {
	seen := map[string]bool{}
	for seed := range n {
		seen[see(m.CrashClone(rand.New(rand.NewPCG(uint64(seed), 1))))] = true
	}
	var all []string
	for s := range seen {
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

func wantCrashes(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("after crashes:\n got %q\nwant %q", got, want)
	}
}

// contentOf tells what a file holds, or that it is gone.
func contentOf(name string) func(m *Memory) string {
	return func(m *Memory) string {
		data, err := ReadFile(m, name)
		if err != nil {
			return "gone"
		}
		return string(data)
	}
}

func listing(m *Memory) string {
	entries, err := m.ReadDir("/")
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&b, "%s=%s ", e.Name(), contentOf(e.Name())(m))
	}
	return strings.TrimSpace(b.String())
}

// durableFile is a file whose content and name are synced.
func durableFile(t *testing.T, m *Memory, name, content string) File {
	t.Helper()
	f := mustOpen(t, m, name, os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, content, 0)
	mustDo(t, f.Sync())
	mustDo(t, m.SyncDir("/"))
	return f
}

func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMemory()
	durableFile(t, m, "a", "content")
	wantCrashes(t, crashes(m, 50, listing), "a=content")
}

func TestCrashTakesNamesThatWereNotSynced(t *testing.T) {
	m := NewMemory()
	f := mustOpen(t, m, "a", os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "content", 0)
	mustDo(t, f.Sync())
	wantCrashes(t, crashes(m, 50, listing), "", "a=content")
}

func TestCrashTearsAppendsThatWereNotSynced(t *testing.T) {
	m := NewMemory()
	f := durableFile(t, m, "a", "12")
	mustWrite(t, f, "34", 2)
	// The size may be there without the bytes: zeros.
	wantCrashes(t, crashes(m, 500, contentOf("a")), "12", "123", "1234", "12\x00", "12\x00\x00", "123\x00")
}

func TestCrashTearsOverwritesThatWereNotSynced(t *testing.T) {
	m := NewMemory()
	f := durableFile(t, m, "a", "abc")
	mustWrite(t, f, "ABC", 0)
	wantCrashes(t, crashes(m, 500, contentOf("a")), "abc", "Abc", "ABc", "ABC")
}

func TestCrashWritesPagesInAnyOrder(t *testing.T) {
	m := NewMemory()
	f := durableFile(t, m, "a", strings.Repeat("-", 2*pageSize))
	mustWrite(t, f, strings.Repeat("x", 2*pageSize), 0)
	secondOnly := func(after *Memory) string {
		data := contentOf("a")(after)
		return fmt.Sprint(data[0] == '-' && data[2*pageSize-1] == 'x')
	}
	wantCrashes(t, crashes(m, 500, secondOnly), "false", "true")
}

func TestCrashBringsBackWhatWasCutOff(t *testing.T) {
	m := NewMemory()
	f := durableFile(t, m, "a", "abcdef")
	mustDo(t, f.Truncate(2))
	wantCrashes(t, crashes(m, 200, contentOf("a")), "abcdef", "ab")
	mustWrite(t, f, "X", 2)
	wantCrashes(t, crashes(m, 500, contentOf("a")), "abcdef", "ab", "abX", "ab\x00")
	mustDo(t, f.Sync())
	wantCrashes(t, crashes(m, 200, contentOf("a")), "abX")
}

func TestCrashSeesRenamesWholeOrNotAtAll(t *testing.T) {
	m := NewMemory()
	durableFile(t, m, "old", "1")
	durableFile(t, m, "new", "2")
	mustDo(t, m.Rename("old", "new"))
	wantCrashes(t, crashes(m, 200, listing), "new=2 old=1", "new=1")
	mustDo(t, m.SyncDir("/"))
	wantCrashes(t, crashes(m, 50, listing), "new=1")
}

func TestCrashNeverLosesASyncedFileBetweenNames(t *testing.T) {
	m := NewMemory()
	durableFile(t, m, "a", "kept")
	mustDo(t, m.Rename("a", "b"))
	mustCreate(t, m, "a", "") // takes the old name: it may not survive without the rename
	wantCrashes(t, crashes(m, 300, listing), "a=kept", "b=kept", "a= b=kept")
}

func TestCrashLosesADirectoryWhoseParentWasNotSynced(t *testing.T) {
	m := NewMemory()
	mustMkdir(t, m, "d")
	f := mustOpen(t, m, "d/a", os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "1", 0)
	mustDo(t, f.Sync())
	mustDo(t, m.SyncDir("d"))
	wantCrashes(t, crashes(m, 100, contentOf("d/a")), "1", "gone")
	mustDo(t, m.SyncDir("/"))
	wantCrashes(t, crashes(m, 50, contentOf("d/a")), "1")
}

func TestCrashAfterRenameAcrossDirectories(t *testing.T) {
	m := NewMemory()
	mustMkdir(t, m, "d")
	durableFile(t, m, "a", "1")
	mustDo(t, m.Rename("a", "d/a"))
	mustDo(t, m.SyncDir("d"))
	where := func(after *Memory) string { return contentOf("a")(after) + " " + contentOf("d/a")(after) }
	wantCrashes(t, crashes(m, 50, where), "gone 1")
}

func TestSyncFSMakesEverythingDurable(t *testing.T) {
	m := NewMemory()
	mustMkdir(t, m, "d")
	mustCreate(t, m, "d/a", "1")
	mustCreate(t, m, "b", "2")
	mustDo(t, m.SyncFS("/d"))
	see := func(after *Memory) string { return contentOf("d/a")(after) + contentOf("b")(after) }
	wantCrashes(t, crashes(m, 50, see), "12")
}

func TestCrashReleasesLocksAndSharesNothing(t *testing.T) {
	m := NewMemory()
	f := durableFile(t, m, "a", "1")
	if _, err := m.Lock("a"); err != nil {
		t.Fatal(err)
	}
	after := m.CrashClone(rand.New(rand.NewPCG(1, 1)))
	if _, err := after.Lock("a"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, f, "2", 0)
	wantContent(t, after, "a", "1")
}

func TestCrashCloneIsDeterministic(t *testing.T) {
	m := NewMemory()
	for i := range 20 {
		mustCreate(t, m, fmt.Sprint("file", i), strings.Repeat("x", 1000*i))
	}
	for seed := range uint64(20) {
		a, b := m.CrashClone(rand.New(rand.NewPCG(seed, 0))), m.CrashClone(rand.New(rand.NewPCG(seed, 0)))
		if listing(a) != listing(b) {
			t.Fatalf("seed %d gave two outcomes", seed)
		}
	}
}

// TestCrashProperty runs random operations beside a model of what must have survived.
func TestCrashProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := NewMemory()
		model := crashModel{synced: map[string][]byte{}}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for range rapid.IntRange(1, 40).Draw(t, "operations") {
			model.step(t, m, rng)
		}
		for range 5 {
			model.check(t, m.CrashClone(rng))
		}
	})
}

// crashModel knows the files whose bytes and name are synced and untouched since.
type crashModel struct{ synced map[string][]byte }

func (c *crashModel) step(t *rapid.T, m *Memory, rng *rand.Rand) {
	name := fmt.Sprint("f", rng.IntN(4))
	f, err := m.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, _ := f.Size()
	switch rng.IntN(5) {
	case 0: // overwrite somewhere
		delete(c.synced, name)
		f.WriteAt(bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(3*pageSize)), rng.Int64N(size+1))
	case 1: // append: what is synced stays a prefix
		f.WriteAt(bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(3*pageSize)), size)
	case 2:
		delete(c.synced, name)
		f.Truncate(rng.Int64N(size + 1))
	case 3:
		delete(c.synced, name)
		m.Remove(name)
	case 4:
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		if err := m.SyncDir("/"); err != nil {
			t.Fatal(err)
		}
		c.synced[name], _ = ReadFile(m, name)
	}
}

func (c *crashModel) check(t *rapid.T, after *Memory) {
	for name, want := range c.synced {
		got, err := ReadFile(after, name)
		if err != nil {
			t.Fatalf("%s was synced and is lost: %v", name, err)
		}
		if !bytes.HasPrefix(got, want) {
			t.Fatalf("%s lost synced bytes: %d bytes, want %d at the front", name, len(got), len(want))
		}
	}
}

func TestMemoryPathsWithAndWithoutRoot(t *testing.T) {
	m := NewMemory()
	mustMkdir(t, m, "/a/b")
	mustCreate(t, m, "a/b/../b/file", "x")
	wantContent(t, m, "/a/b/file", "x")
	if _, err := m.Stat("/"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.OpenFile("/", os.O_RDWR|os.O_CREATE, 0); err == nil {
		t.Fatal("the root opened for writing")
	}
	_, err := m.Stat("../../a/absent")
	wantErr(t, err, fs.ErrNotExist)
}
