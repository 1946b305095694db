package vfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
)

func TestFaultyCountsAndRefusesOperations(t *testing.T) {
	var log []string
	fail := errors.New("injected")
	fsys := NewFaulty(NewMemory(), func(op Op) error {
		log = append(log, fmt.Sprintf("%d %s %s %d+%d", op.N, op.Kind, op.Name, op.Offset, op.SizeBytes))
		if op.Kind == OpTruncate {
			return fail
		}
		return nil
	})
	f := mustOpen(t, fsys, "a", os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "abc", 1)
	err := f.Truncate(2)
	wantErr(t, err, fail)
	wantSize(t, f, 4)
	mustDo(t, f.Sync())
	mustDo(t, fsys.Rename("a", "b"))
	mustDo(t, fsys.SyncDir("/"))
	want := []string{"0 create a 0+0", "1 write a 1+3", "2 truncate a 0+2", "3 sync a 0+0", "4 rename b 0+0", "5 syncdir / 0+0"}
	if fmt.Sprint(log) != fmt.Sprint(want) {
		t.Fatalf("log\n got %v\nwant %v", log, want)
	}
}

func TestFaultyRefusesEveryKind(t *testing.T) {
	m := NewMemory()
	mustCreate(t, m, "a", "x")
	var refused OpKind
	fsys := NewFaulty(m, func(op Op) error {
		if op.Kind == refused {
			return syscall.EIO
		}
		return nil
	})
	f := mustOpen(t, fsys, "a", os.O_RDWR)
	volume, err := fsys.OpenVolume("/")
	mustDo(t, err)
	for kind, do := range map[OpKind]func() error{
		OpOpen:     func() error { _, err := fsys.OpenFile("a", os.O_RDWR, 0); return err },
		OpCreate:   func() error { _, err := fsys.OpenFile("b", os.O_CREATE, 0); return err },
		OpMkdir:    func() error { return fsys.MkdirAll("d", 0o755) },
		OpReadDir:  func() error { _, err := fsys.ReadDir("/"); return err },
		OpStat:     func() error { _, err := fsys.Stat("a"); return err },
		OpRename:   func() error { return fsys.Rename("a", "b") },
		OpRemove:   func() error { return errors.Join(fsys.Remove("a"), fsys.RemoveAll("a")) },
		OpSyncDir:  func() error { return fsys.SyncDir("/") },
		OpSyncFS:   volume.Sync,
		OpLock:     func() error { _, err := fsys.Lock("a"); return err },
		OpFree:     func() error { _, err := fsys.FreeBytes("/"); return err },
		OpRead:     func() error { _, err := f.ReadAt(make([]byte, 1), 0); return err },
		OpWrite:    func() error { _, err := f.WriteAt([]byte("y"), 0); return err },
		OpSync:     func() error { return f.Sync() },
		OpTruncate: func() error { return f.Truncate(0) },
		OpAllocate: func() error { return f.Allocate(1) },
	} {
		refused = kind
		if err := do(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if got := listing(m); got != "a=x" {
		t.Errorf("refused operations were done: %s", got)
	}
}

func TestFaultyWritesShort(t *testing.T) {
	for _, test := range []struct {
		bytes   int
		err     error
		want    string
		wantErr error
	}{
		{0, nil, "", io.ErrShortWrite},
		{4, syscall.ENOSPC, "abcd", syscall.ENOSPC},
		{99, syscall.EIO, "abcdef", syscall.EIO},
	} {
		m := NewMemory()
		f := mustOpen(t, NewFaulty(m, func(op Op) error {
			if op.Kind == OpWrite {
				return ShortWrite(test.bytes, test.err)
			}
			return nil
		}), "a", os.O_RDWR|os.O_CREATE)
		n, err := f.Writev([][]byte{[]byte("abc"), []byte("def")}, 0)
		if n != len(test.want) || !errors.Is(err, test.wantErr) {
			t.Errorf("short write of %d: %d, %v", test.bytes, n, err)
		}
		wantContent(t, m, "a", test.want)
	}
}

// TestFailedSyncLosesBytesAlthoughALaterOneSucceeds is why a log directory goes offline at the first failed sync.
func TestFailedSyncLosesBytesAlthoughALaterOneSucceeds(t *testing.T) {
	for name, sync := range map[string]func(fsys FS, f File) error{
		"file": func(_ FS, f File) error { return f.Sync() },
		"file system": func(fsys FS, _ File) error {
			volume, err := fsys.OpenVolume("/")
			return errors.Join(err, volume.Sync(), volume.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory()
			broken := false
			fsys := NewFaulty(m, func(op Op) error {
				if broken && (op.Kind == OpSync || op.Kind == OpSyncFS) {
					return syscall.EIO
				}
				return nil
			})
			durableFile(t, m, "a", "12")
			f := mustOpen(t, fsys, "a", os.O_RDWR)
			mustWrite(t, f, "34", 2)
			broken = true
			wantErr(t, sync(fsys, f), syscall.EIO)
			broken = false
			mustDo(t, sync(fsys, f))
			wantContent(t, fsys, "a", "1234") // the page cache still shows them
			if got := crashes(m, 300, contentOf("a")); len(got) < 2 {
				t.Fatalf("a failed sync lost nothing: %q", got)
			}
			mustWrite(t, f, "34", 2) // written again, the page is dirty again
			mustDo(t, sync(fsys, f))
			wantCrashes(t, crashes(m, 300, contentOf("a")), "1234")
		})
	}
}

// TestWriteFileAtomicSurvivesEveryCrash crashes before each operation and after the last.
func TestWriteFileAtomicSurvivesEveryCrash(t *testing.T) {
	for point := int64(0); ; point++ {
		m := NewMemory()
		mustDo(t, WriteFileAtomic(m, "a", []byte("old"), 0o644))
		var clones []string
		err := WriteFileAtomic(NewFaulty(m, func(op Op) error {
			if op.N == point {
				clones = crashes(m, 100, contentOf("a"))
			}
			return nil
		}), "a", []byte("new!"), 0o644)
		mustDo(t, err)
		if clones == nil {
			if point < 5 {
				t.Fatalf("only %d operations", point)
			}
			wantCrashes(t, crashes(m, 100, contentOf("a")), "new!")
			return
		}
		for _, c := range clones {
			if c != "old" && c != "new!" {
				t.Fatalf("crash before operation %d left %q", point, c)
			}
		}
	}
}

// TestWriteFileAtomicFailsClean fails each operation in turn: the error goes up, the file is the old or the new one.
func TestWriteFileAtomicFailsClean(t *testing.T) {
	for point := int64(0); ; point++ {
		m := NewMemory()
		mustDo(t, WriteFileAtomic(m, "a", []byte("old"), 0o644))
		hit := false
		err := WriteFileAtomic(NewFaulty(m, func(op Op) error {
			if op.N != point {
				return nil
			}
			hit = true
			if op.Kind == OpWrite {
				return ShortWrite(1, syscall.ENOSPC)
			}
			return syscall.EIO
		}), "a", []byte("new!"), 0o644)
		if !hit {
			mustDo(t, err)
			return
		}
		if err == nil {
			t.Fatalf("operation %d failed and nobody said so", point)
		}
		if got := listing(m); got != "a=old" && got != "a=new!" {
			t.Fatalf("operation %d failed and left %s", point, got)
		}
	}
}
