//go:build unix

package api

import "golang.org/x/sys/unix"

// diskSpace returns the size of the volume that holds path and what of it is usable; -1 where that is not known.
func diskSpace(path string) (totalBytes, usableBytes int64) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return -1, -1
	}
	return int64(s.Blocks) * int64(s.Bsize), int64(s.Bavail) * int64(s.Bsize)
}
