package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/millrace-io/millrace/broker/vfs"
)

// Directories of `millrace dev --ephemeral` lie beside each other under the system's temporary directory. Whoever uses one
// holds its lock, which the system drops however the process ends: that is how the next start knows what kill -9 left.
const (
	ephemeralPrefix = "millrace-dev-"
	ephemeralLock   = ".lock" // also the name of a log directory's lock
)

// ephemeralDir is a data directory that goes away with its process.
type ephemeralDir struct {
	path string
	lock io.Closer
}

// newEphemeralDir removes what dead processes left and makes a directory of its own.
func newEphemeralDir() (*ephemeralDir, error) {
	removeStaleEphemeral(os.TempDir())
	path, err := os.MkdirTemp("", ephemeralPrefix)
	if err != nil {
		return nil, fmt.Errorf("make a temporary data directory: %w", err)
	}
	lock, err := vfs.OS().Lock(filepath.Join(path, ephemeralLock))
	if err == nil {
		// Another start may have seen the lock free in the moment between its creation and ours, and removed the directory.
		_, err = os.Stat(filepath.Join(path, ephemeralLock))
	}
	if err != nil {
		return nil, fmt.Errorf("lock a temporary data directory: %w", err)
	}
	return &ephemeralDir{path: path, lock: lock}, nil
}

// remove deletes the directory before the lock goes, so that nobody else sees it free.
func (d *ephemeralDir) remove() error { return errors.Join(os.RemoveAll(d.path), d.lock.Close()) }

// removeStaleEphemeral removes this user's directories whose locks are all free. Without a lock file in it a directory is
// one that is just being made, or not ours; it stays. Faults are left to the next start: they keep nobody from working.
func removeStaleEphemeral(parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, ephemeralPrefix+"*"))
	for _, path := range found {
		if !ownDirectory(path) {
			continue
		}
		locks, err := lockAll(path)
		if err == nil && len(locks) > 0 {
			_ = os.RemoveAll(path)
		}
		for _, lock := range locks {
			_ = lock.Close()
		}
	}
}

func ownDirectory(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}

// lockAll takes the lock at the top and those of the nodes below: a node may outlive the process that started it.
func lockAll(root string) (locks []io.Closer, err error) {
	if _, err := os.Lstat(filepath.Join(root, ephemeralLock)); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != ephemeralLock || !entry.Type().IsRegular() {
			return err
		}
		lock, err := vfs.OS().Lock(path)
		if err == nil {
			locks = append(locks, lock)
		}
		return err
	})
	return locks, err
}
