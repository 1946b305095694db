package segment

import (
	"errors"
	"io"
	"os"

	"github.com/millrace-io/millrace/broker/vfs"
)

// ReadFile reads a whole small file.
func ReadFile(fs vfs.FS, name string) ([]byte, error) {
	file, err := fs.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	p := make([]byte, size)
	n, err := file.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return p[:n], nil
}

// WriteFile replaces the contents of a small file, in place: a crash may leave any part of it. With sync the contents,
// though not the name, are durable when it returns.
func WriteFile(fs vfs.FS, name string, p []byte, sync bool) error {
	file, err := fs.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if len(p) > 0 {
		_, err = file.WriteAt(p, 0)
	}
	if err == nil && sync {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}
