package log

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/vfs"
)

// scarce is a file system that says how much is free.
type scarce struct {
	vfs.FS
	free atomic.Int64
}

func (s *scarce) FreeBytes(string) (int64, error) { return s.free.Load(), nil }

const testRoomBytes = 1 << 20

func openScarce(t *testing.T, fs *scarce) *Dir {
	t.Helper()
	cfg := testDirConfig(fs)
	cfg.RoomBytes = testRoomBytes
	d, err := OpenDir(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// A refused append makes a directory full. It has room again when none was refused for a while, enough is free, and a write
// goes through: not for less.
func TestAFullDirectoryHasRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusing := newFaults(vfs.NewMemory())
		fs := &scarce{FS: refusing}
		fs.free.Store(testRoomBytes)
		d := openScarce(t, fs)
		l := mustOpen(t, d, smallConfig())
		appendValues(t, l, 0, numbered(0, 5)...)
		if d.Full() || !d.Roomy() {
			t.Fatalf("at the start: full %v, roomy %v", d.Full(), d.Roomy())
		}
		changed := d.RoomChanged()
		refusing.set(vfs.OpWrite, syscall.EDQUOT)
		fs.free.Store(0)
		for range 3 {
			entries := []Entry{{Batch: batch(t, record.BuilderOptions{}, 1, "refused")}}
			if _, err := l.Append(entries, 0, OriginClient); !errors.Is(err, ErrNoSpace) {
				t.Fatalf("append: %v", err)
			}
		}
		if !d.Full() || d.Roomy() || d.Err() != nil {
			t.Fatalf("after refusals: full %v, roomy %v, %v", d.Full(), d.Roomy(), d.Err())
		}
		<-changed

		time.Sleep(time.Hour)
		fs.free.Store(testRoomBytes - 1)
		refusing.set("", nil)
		time.Sleep(time.Hour)
		if !d.Full() {
			t.Fatal("it has room though too little is free")
		}
		fs.free.Store(testRoomBytes)
		refusing.set(vfs.OpWrite, syscall.EDQUOT)
		time.Sleep(time.Hour)
		if !d.Full() {
			t.Fatal("it has room though nothing can be written")
		}
		changed = d.RoomChanged()
		refusing.set("", nil)
		<-changed
		if d.Full() || !d.Roomy() {
			t.Fatalf("with room again: full %v, roomy %v", d.Full(), d.Roomy())
		}
		appendValues(t, l, 0, numbered(5, 60)...)
		same(t, readAll(t, l, 0, 1000), expect(60))
		if _, err := fs.Stat(d.Path() + "/" + roomProbeFile); !isNotExist(err) {
			t.Errorf("what was written to find room is still there: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A directory with little free at the start is neither full nor roomy, until more is free.
func TestATightDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := &scarce{FS: vfs.NewMemory()}
		fs.free.Store(testRoomBytes - 1)
		d := openScarce(t, fs)
		time.Sleep(time.Minute)
		if d.Full() || d.Roomy() {
			t.Fatalf("with little free: full %v, roomy %v", d.Full(), d.Roomy())
		}
		changed := d.RoomChanged()
		fs.free.Store(testRoomBytes)
		<-changed
		if d.Full() || !d.Roomy() {
			t.Fatalf("with enough free: full %v, roomy %v", d.Full(), d.Roomy())
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A directory that is full again soon after it had room is believed later and later; one that was well for long is not held
// against what was before.
func TestRoomIsBelievedLaterAndLater(t *testing.T) {
	r := room{changed: make(chan struct{})}
	now := time.Unix(1000, 0)
	held := func() time.Duration {
		t.Helper()
		if !r.refuse(now) || r.refuse(now) {
			t.Fatal("only the first refusal makes it full")
		}
		began := now
		for ; !r.regain(now); now = now.Add(time.Second) {
			if now.Sub(began) > time.Hour {
				t.Fatal("it never has room")
			}
		}
		return now.Sub(began)
	}
	for i, want := range []time.Duration{minRoomHold, 2 * minRoomHold, 4 * minRoomHold} {
		if got := held(); got != want {
			t.Errorf("time %d: held for %v, want %v", i, got, want)
		}
	}
	for range 10 {
		held()
	}
	if got := held(); got != maxRoomHold {
		t.Errorf("in the end it is held for %v, want %v", got, maxRoomHold)
	}
	now = now.Add(roomCalm)
	if got := held(); got != minRoomHold {
		t.Errorf("after a calm it is held for %v, want %v", got, minRoomHold)
	}
}

// Each refusal begins the wait anew, and what is refused while somebody looks counts.
func TestARefusalBeginsTheWaitAnew(t *testing.T) {
	r := room{changed: make(chan struct{})}
	now := time.Unix(1000, 0)
	r.refuse(now)
	now = now.Add(minRoomHold)
	if r.due(now) != full {
		t.Fatal("nobody looks after the wait")
	}
	r.refuse(now)
	if r.regain(now) || r.due(now.Add(minRoomHold-1)) == full || r.due(now.Add(minRoomHold)) != full {
		t.Fatal("the second refusal does not count")
	}
}
