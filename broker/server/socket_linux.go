package server

import (
	"syscall"
	"unsafe"
)

// smallTransferBytes is up to how much a connection reads or writes in one system call without telling Go's scheduler.
//
// A socket never blocks here, and so much is copied in about 20 µs. Told of it, the scheduler wakes its monitor thread, which
// takes the processor away from a call that lasts longer than its tick of 20 µs, as a write to loopback does: another
// thread is woken to go on with nothing. Under a slow stream of small requests that was a fifth of the CPU time, and each
// thread more in the way of an answer waits its turn on a busy machine.
const smallTransferBytes = 64 << 10

// readSocket reads from a socket that does not block.
func readSocket(fd uintptr, p []byte) (int, error) {
	if len(p) == 0 || len(p) > smallTransferBytes {
		return syscall.Read(int(fd), p)
	}
	return transfer(syscall.SYS_READ, fd, p)
}

// writeSocket writes to a socket that does not block.
func writeSocket(fd uintptr, p []byte) (int, error) {
	if len(p) == 0 || len(p) > smallTransferBytes {
		return syscall.Write(int(fd), p)
	}
	return transfer(syscall.SYS_WRITE, fd, p)
}

func transfer(call, fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
