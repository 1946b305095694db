package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// tempSuffix marks a file that WriteFileAtomic had not finished; after a crash one may be left.
const tempSuffix = ".tmp"

// WriteFileAtomic replaces name by data: after a crash the file is the old or the new one, and once it has returned,
// the new one. Two writers of one name must not run at the same time.
func WriteFileAtomic(fsys FS, name string, data []byte, perm fs.FileMode) error {
	temp := name + tempSuffix
	if err := writeFileSynced(fsys, temp, data, perm); err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, removeIfThere(fsys, temp)))
	}
	if err := fsys.Rename(temp, name); err != nil {
		return fmt.Errorf("write %s: %w", name, errors.Join(err, removeIfThere(fsys, temp)))
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func writeFileSynced(fsys FS, name string, data []byte, perm fs.FileMode) error {
	f, err := fsys.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ReadFile reads a whole file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if _, err := f.ReadAt(data, 0); err != nil {
		return nil, err
	}
	return data, nil
}
