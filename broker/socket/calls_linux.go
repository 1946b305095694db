package socket

import (
	"syscall"
	"unsafe"
)

// quietBytes is up to how much one system call reads or writes without telling Go's scheduler.
//
// A socket never blocks here, and so much is copied in a few hundred µs at most. Told of it, the scheduler wakes its monitor thread, which
// takes the processor away from a call that lasts longer than its tick of 20 µs, as a write to loopback does: another
// thread is woken to go on with nothing. Under a slow stream of small requests that was a fifth of the CPU time, and each
// thread more in the way of an answer waits its turn on a busy machine.
const quietBytes = 1 << 20

// Read reads from a socket that does not block, at most quietBytes.
func Read(fd uintptr, p []byte) (int, error) {
	return transfer(syscall.SYS_READ, fd, p[:min(len(p), quietBytes)])
}

// Write writes to a socket that does not block, at most quietBytes.
func Write(fd uintptr, p []byte) (int, error) {
	return transfer(syscall.SYS_WRITE, fd, p[:min(len(p), quietBytes)])
}

func transfer(call, fd uintptr, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// Cork holds back what is less than a whole segment, until it is taken off: the parts of an answer then go out together, and
// who reads it is not woken for each.
func Cork(fd uintptr, on bool) {
	value := int32(0)
	if on {
		value = 1
	}
	_, _, _ = syscall.RawSyscall6(syscall.SYS_SETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_CORK, uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
}
