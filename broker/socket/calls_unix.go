//go:build unix && !linux

package socket

import "syscall"

// Read reads from a socket that does not block.
func Read(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }

// Write writes to a socket that does not block.
func Write(fd uintptr, p []byte) (int, error) { return syscall.Write(int(fd), p) }

// Cork does nothing here.
func Cork(uintptr, bool) {}
