package vfs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestConformance holds every implementation to what the port promises.
func TestConformance(t *testing.T) {
	implementations := map[string]func(t *testing.T) (FS, string){
		"OS": func(t *testing.T) (FS, string) { return OS(), t.TempDir() },
		"Memory": func(t *testing.T) (FS, string) {
			m := NewMemory()
			return m, mustMkdir(t, m, "/data")
		},
		"faultless Faulty": func(t *testing.T) (FS, string) {
			m := NewFaulty(NewMemory(), func(Op) error { return nil })
			return m, mustMkdir(t, m, "/data")
		},
	}
	for name, make := range implementations {
		t.Run(name, func(t *testing.T) {
			for what, check := range conformance() {
				t.Run(what, func(t *testing.T) {
					fsys, dir := make(t)
					check(t, fsys, dir)
				})
			}
		})
	}
}

func conformance() map[string]func(t *testing.T, fsys FS, dir string) {
	return map[string]func(t *testing.T, fsys FS, dir string){
		"a file that is not there":              absentFile,
		"create exclusively":                    createExclusively,
		"open truncating":                       openTruncating,
		"reads and writes at positions":         positions,
		"writev":                                vectors,
		"writev beyond the kernel's vectors":    manyVectors,
		"truncate":                              truncate,
		"allocate keeps the size":               allocateKeepsSize,
		"sync":                                  syncs,
		"a closed file":                         closedFile,
		"read-only and write-only":              accessModes,
		"directories":                           directories,
		"rename replaces":                       renameReplaces,
		"rename of directories":                 renameDirectories,
		"remove":                                remove,
		"an open file outlives its name":        openOutlivesName,
		"locks":                                 locks,
		"the incarnation stays without a crash": incarnations,
		"free bytes":                            freeBytes,
		"write atomically":                      writeAtomically,
		"errors of paths below files":           belowFile,
		"descriptors are given or unsupported":  descriptors,
		"concurrent writers of disjoint ranges": concurrentWriters,
	}
}

func absentFile(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "absent")
	_, err := fsys.OpenFile(name, os.O_RDWR, 0)
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.Stat(name)
	wantErr(t, err, fs.ErrNotExist)
	_, err = fsys.ReadDir(name)
	wantErr(t, err, fs.ErrNotExist)
	wantErr(t, fsys.Remove(name), fs.ErrNotExist)
	wantErr(t, fsys.Rename(name, name+"2"), fs.ErrNotExist)
	wantErr(t, fsys.SyncDir(name), fs.ErrNotExist)
	wantErr(t, fsys.RemoveAll(name), nil)
	_, err = fsys.OpenFile(filepath.Join(name, "below"), os.O_CREATE|os.O_RDWR, 0o644)
	wantErr(t, err, fs.ErrNotExist)
}

func createExclusively(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "new")
	mustCreate(t, fsys, name, "")
	_, err := fsys.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	wantErr(t, err, fs.ErrExist)
}

func openTruncating(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "file")
	mustCreate(t, fsys, name, "old content")
	f := mustOpen(t, fsys, name, os.O_RDWR|os.O_TRUNC)
	wantSize(t, f, 0)
	mustOpen(t, fsys, name, os.O_RDWR|os.O_CREATE)
	wantContent(t, fsys, name, "")
}

func positions(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "world", 6)
	wantSize(t, f, 11)
	mustWrite(t, f, "hello", 0)
	wantContent(t, fsys, f.Name(), "hello\x00world")
	p := make([]byte, 20)
	n, err := f.ReadAt(p, 6)
	if n != 5 || err != io.EOF || string(p[:n]) != "world" {
		t.Fatalf("read of the tail: %q, %v", p[:n], err)
	}
	if n, err = f.ReadAt(p[:5], 6); n != 5 || err != nil {
		t.Fatalf("read up to the end: %d, %v", n, err)
	}
	if n, err = f.ReadAt(p, 100); n != 0 || err != io.EOF {
		t.Fatalf("read behind the end: %d, %v", n, err)
	}
	if _, err = f.ReadAt(p, -1); err == nil {
		t.Fatal("read at a negative position succeeded")
	}
	if _, err = f.WriteAt(p, -1); err == nil {
		t.Fatal("write at a negative position succeeded")
	}
}

func vectors(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	bufs := [][]byte{nil, []byte("ab"), {}, []byte("cde"), nil}
	n, err := f.Writev(bufs, 1)
	if n != 5 || err != nil {
		t.Fatalf("writev: %d, %v", n, err)
	}
	if string(bufs[1]) != "ab" || string(bufs[3]) != "cde" {
		t.Fatalf("writev changed the caller's buffers: %q", bufs)
	}
	if n, err = f.Writev(nil, 0); n != 0 || err != nil {
		t.Fatalf("writev of nothing: %d, %v", n, err)
	}
	if n, err = f.Writev([][]byte{nil, {}}, 0); n != 0 || err != nil {
		t.Fatalf("writev of empty buffers: %d, %v", n, err)
	}
	wantContent(t, fsys, f.Name(), "\x00abcde")
}

func manyVectors(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	var bufs [][]byte
	var want []byte
	for i := range 5000 {
		b := bytes.Repeat([]byte{byte(i)}, i%7)
		bufs, want = append(bufs, b), append(want, b...)
	}
	n, err := f.Writev(bufs, 0)
	if n != len(want) || err != nil {
		t.Fatalf("writev: %d of %d, %v", n, len(want), err)
	}
	wantContent(t, fsys, f.Name(), string(want))
}

func truncate(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "abcdef", 0)
	mustDo(t, f.Truncate(2))
	mustDo(t, f.Truncate(4))
	wantContent(t, fsys, f.Name(), "ab\x00\x00")
	mustDo(t, f.Truncate(0))
	mustWrite(t, f, "x", 2)
	wantContent(t, fsys, f.Name(), "\x00\x00x")
	if f.Truncate(-1) == nil {
		t.Fatal("truncate to a negative size succeeded")
	}
}

func allocateKeepsSize(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "abc", 0)
	mustDo(t, f.Allocate(1<<16))
	wantSize(t, f, 3)
	wantContent(t, fsys, f.Name(), "abc")
}

func syncs(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "abc", 0)
	mustDo(t, f.Sync())
	mustDo(t, fsys.SyncDir(dir))
	volume, err := fsys.OpenVolume(dir)
	mustDo(t, err)
	if err := volume.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatal(err)
	}
	mustDo(t, volume.Close())
	wantContent(t, fsys, f.Name(), "abc")
}

func closedFile(t *testing.T, fsys FS, dir string) {
	f, err := fsys.OpenFile(filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE, 0o644)
	mustDo(t, err)
	mustDo(t, f.Close())
	_, readErr := f.ReadAt(make([]byte, 1), 0)
	_, writeErr := f.WriteAt([]byte("x"), 0)
	_, writevErr := f.Writev([][]byte{[]byte("x")}, 0)
	_, sizeErr := f.Size()
	for what, err := range map[string]error{"read": readErr, "write": writeErr, "writev": writevErr, "size": sizeErr,
		"sync": f.Sync(), "truncate": f.Truncate(0), "allocate": f.Allocate(1), "close": f.Close()} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s of a closed file: %v", what, err)
		}
	}
}

func accessModes(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "file")
	mustCreate(t, fsys, name, "abc")
	readOnly := mustOpen(t, fsys, name, os.O_RDONLY)
	if _, err := readOnly.WriteAt([]byte("x"), 0); err == nil {
		t.Error("write to a file opened for reading succeeded")
	}
	if readOnly.Truncate(0) == nil {
		t.Error("truncate of a file opened for reading succeeded")
	}
	mustDo(t, readOnly.Sync())
	writeOnly := mustOpen(t, fsys, name, os.O_WRONLY)
	if _, err := writeOnly.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("read of a file opened for writing succeeded")
	}
	wantContent(t, fsys, name, "abc")
}

func directories(t *testing.T, fsys FS, dir string) {
	mustDo(t, fsys.MkdirAll(filepath.Join(dir, "b/c"), 0o755))
	mustDo(t, fsys.MkdirAll(filepath.Join(dir, "b/c"), 0o755))
	mustCreate(t, fsys, filepath.Join(dir, "a"), "12345")
	mustCreate(t, fsys, filepath.Join(dir, "c"), "")
	entries, err := fsys.ReadDir(dir)
	mustDo(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if e.IsDir() != (e.Name() == "b") {
			t.Errorf("%s: IsDir %v", e.Name(), e.IsDir())
		}
	}
	if got, want := len(names), 3; got != want || names[0] != "a" || names[1] != "b" || names[2] != "c" {
		t.Fatalf("entries %v", names)
	}
	info, err := entries[0].Info()
	mustDo(t, err)
	if info.Size() != 5 || info.Name() != "a" || info.IsDir() {
		t.Fatalf("info of a: %v %v", info.Name(), info.Size())
	}
	stat, err := fsys.Stat(filepath.Join(dir, "b"))
	mustDo(t, err)
	if !stat.IsDir() || stat.Name() != "b" {
		t.Fatalf("stat of a directory: %v %v", stat.Name(), stat.Mode())
	}
	if _, err := fsys.OpenFile(filepath.Join(dir, "b"), os.O_RDWR, 0); err == nil {
		t.Fatal("a directory opened for writing")
	}
	if fsys.MkdirAll(filepath.Join(dir, "a/x"), 0o755) == nil {
		t.Fatal("a directory made below a file")
	}
}

func renameReplaces(t *testing.T, fsys FS, dir string) {
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	mustCreate(t, fsys, a, "new")
	mustCreate(t, fsys, b, "old")
	mustDo(t, fsys.Rename(a, b))
	wantContent(t, fsys, b, "new")
	_, err := fsys.Stat(a)
	wantErr(t, err, fs.ErrNotExist)
	mustDo(t, fsys.Rename(b, b))
	wantContent(t, fsys, b, "new")
}

func renameDirectories(t *testing.T, fsys FS, dir string) {
	a, b := mustMkdir(t, fsys, filepath.Join(dir, "a")), filepath.Join(dir, "b")
	mustCreate(t, fsys, filepath.Join(a, "file"), "x")
	mustDo(t, fsys.Rename(a, b))
	wantContent(t, fsys, filepath.Join(b, "file"), "x")
	if fsys.Rename(b, filepath.Join(b, "inside")) == nil {
		t.Error("a directory renamed into itself")
	}
	file := filepath.Join(dir, "file")
	mustCreate(t, fsys, file, "y")
	if fsys.Rename(file, b) == nil || fsys.Rename(b, file) == nil {
		t.Error("a file and a directory replaced one another")
	}
	mustMkdir(t, fsys, a)
	wantErr(t, fsys.Rename(b, a), fs.ErrExist)
	mustDo(t, fsys.Remove(a))
	mustDo(t, fsys.Rename(b, a))
	wantContent(t, fsys, filepath.Join(a, "file"), "x")
}

func remove(t *testing.T, fsys FS, dir string) {
	a := mustMkdir(t, fsys, filepath.Join(dir, "a"))
	mustCreate(t, fsys, filepath.Join(a, "file"), "x")
	mustMkdir(t, fsys, filepath.Join(a, "sub"))
	mustCreate(t, fsys, filepath.Join(a, "sub", "file"), "x")
	if fsys.Remove(a) == nil {
		t.Fatal("a directory that is not empty was removed")
	}
	mustDo(t, fsys.Remove(filepath.Join(a, "file")))
	_, err := fsys.Stat(filepath.Join(a, "file"))
	wantErr(t, err, fs.ErrNotExist)
	mustDo(t, fsys.RemoveAll(a))
	_, err = fsys.Stat(a)
	wantErr(t, err, fs.ErrNotExist)
	mustMkdir(t, fsys, a)
	mustDo(t, fsys.Remove(a))
}

func openOutlivesName(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "file")
	f := mustOpen(t, fsys, name, os.O_RDWR|os.O_CREATE)
	mustWrite(t, f, "abc", 0)
	mustDo(t, fsys.Remove(name))
	mustWrite(t, f, "d", 3)
	p := make([]byte, 4)
	if _, err := f.ReadAt(p, 0); err != nil || string(p) != "abcd" {
		t.Fatalf("read of a removed file: %q, %v", p, err)
	}
	mustCreate(t, fsys, name, "other")
	wantContent(t, fsys, name, "other")
}

func locks(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, ".lock")
	lock, err := fsys.Lock(name)
	mustDo(t, err)
	_, err = fsys.Lock(name)
	wantErr(t, err, ErrLocked)
	mustDo(t, lock.Close())
	lock, err = fsys.Lock(name)
	mustDo(t, err)
	mustDo(t, lock.Close())
	_, err = fsys.Lock(filepath.Join(dir, "absent", ".lock"))
	wantErr(t, err, fs.ErrNotExist)
}

func freeBytes(t *testing.T, fsys FS, dir string) {
	free, err := fsys.FreeBytes(dir)
	if err != nil || free <= 0 {
		t.Fatalf("free bytes: %d, %v", free, err)
	}
	_, err = fsys.FreeBytes(filepath.Join(dir, "absent"))
	wantErr(t, err, fs.ErrNotExist)
}

func incarnations(t *testing.T, fsys FS, dir string) {
	first := fsys.Incarnation(dir)
	mustCreate(t, fsys, filepath.Join(dir, "file"), "x")
	if again := fsys.Incarnation(dir); again != first {
		t.Errorf("the incarnation changed from %q to %q without a crash", first, again)
	}
	if absent := fsys.Incarnation(filepath.Join(dir, "absent")); absent != "" && absent != first {
		t.Errorf("of a directory that is not there: %q", absent)
	}
}

func writeAtomically(t *testing.T, fsys FS, dir string) {
	name := filepath.Join(dir, "meta.properties")
	for _, content := range []string{"first version, the longer one", "second", ""} {
		mustDo(t, WriteFileAtomic(fsys, name, []byte(content), 0o644))
		wantContent(t, fsys, name, content)
	}
	entries, err := fsys.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("left behind: %v, %v", entries, err)
	}
	wantErr(t, WriteFileAtomic(fsys, filepath.Join(dir, "absent", "file"), nil, 0o644), fs.ErrNotExist)
}

func belowFile(t *testing.T, fsys FS, dir string) {
	file := filepath.Join(dir, "file")
	mustCreate(t, fsys, file, "x")
	_, openErr := fsys.OpenFile(filepath.Join(file, "below"), os.O_CREATE|os.O_RDWR, 0o644)
	_, statErr := fsys.Stat(filepath.Join(file, "below"))
	_, readDirErr := fsys.ReadDir(file)
	for what, err := range map[string]error{"open": openErr, "stat": statErr, "readdir": readDirErr} {
		if err == nil {
			t.Errorf("%s below a file succeeded", what)
		}
	}
}

func descriptors(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	conn, err := f.SyscallConn()
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	mustDo(t, err)
	mustDo(t, conn.Control(func(fd uintptr) {
		if int(fd) < 0 {
			t.Error("negative descriptor")
		}
	}))
}

func concurrentWriters(t *testing.T, fsys FS, dir string) {
	f := mustOpen(t, fsys, filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE)
	const writers, size = 8, 3000
	done := make(chan error, writers)
	for w := range writers {
		go func() {
			_, err := f.Writev([][]byte{bytes.Repeat([]byte{'a' + byte(w)}, size/2), bytes.Repeat([]byte{'A' + byte(w)}, size/2)},
				int64(w*size))
			done <- errors.Join(err, f.Sync())
		}()
	}
	for range writers {
		mustDo(t, <-done)
	}
	var want []byte
	for w := range writers {
		want = append(want, bytes.Repeat([]byte{'a' + byte(w)}, size/2)...)
		want = append(want, bytes.Repeat([]byte{'A' + byte(w)}, size/2)...)
	}
	wantContent(t, fsys, f.Name(), string(want))
}
