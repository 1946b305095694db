//go:build unix && !linux && !darwin

package vfs

import "golang.org/x/sys/unix"

func syncFile(fd int) error { return unix.Fsync(fd) }
