package vfs

import (
	"errors"
	"os"
	"testing"
)

func mustDo(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func mustMkdir(t *testing.T, fsys FS, path string) string {
	t.Helper()
	mustDo(t, fsys.MkdirAll(path, 0o755))
	return path
}

func mustOpen(t *testing.T, fsys FS, name string, flag int) File {
	t.Helper()
	f, err := fsys.OpenFile(name, flag, 0o644)
	mustDo(t, err)
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func mustWrite(t *testing.T, f File, content string, offset int64) {
	t.Helper()
	n, err := f.WriteAt([]byte(content), offset)
	if err != nil || n != len(content) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(content), err)
	}
}

func mustCreate(t *testing.T, fsys FS, name, content string) {
	t.Helper()
	mustWrite(t, mustOpen(t, fsys, name, os.O_RDWR|os.O_CREATE|os.O_TRUNC), content, 0)
}

func wantContent(t *testing.T, fsys FS, name, want string) {
	t.Helper()
	got, err := ReadFile(fsys, name)
	mustDo(t, err)
	if string(got) != want {
		t.Fatalf("%s holds %d bytes %.80q, want %d bytes %.80q", name, len(got), got, len(want), want)
	}
}

func wantSize(t *testing.T, f File, want int64) {
	t.Helper()
	if got, err := f.Size(); err != nil || got != want {
		t.Fatalf("size %d, %v; want %d", got, err, want)
	}
}
