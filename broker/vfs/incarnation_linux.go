package vfs

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// incarnation is made of the boot, the mount and the directory. Kernels before 6.8 have no number of a mount that is
// never used again: nothing can be told there.
func incarnation(path string) string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	var s unix.Statx_t
	const wanted = unix.STATX_MNT_ID_UNIQUE | unix.STATX_INO
	err = retryInterrupted(func() error { return unix.Statx(unix.AT_FDCWD, path, 0, wanted, &s) })
	if err != nil || s.Mask&wanted != wanted {
		return ""
	}
	return fmt.Sprintf("boot %s mount %d device %d:%d inode %d", strings.TrimSpace(string(boot)), s.Mnt_id, s.Dev_major, s.Dev_minor, s.Ino)
}
