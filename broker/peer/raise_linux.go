package peer

import (
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxRaised bounds the descriptors that are given out. The kernel's table of them reaches up to the highest: 8 bytes for each.
const maxRaised = 1 << 16

// raise moves a connection to a descriptor above those of other connections, or leaves it as it is where that cannot be.
func raise(conn *net.TCPConn) io.ReadCloser {
	raised := -1
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { raised, _ = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, highDescriptor()) })
	}
	if raised < 0 {
		return conn
	}
	_ = conn.Close() // the connection stays open by the other descriptor
	return os.NewFile(uintptr(raised), "lifeline")
}

// highDescriptor is where the uppermost of the descriptors begin that this process may have.
func highDescriptor() int {
	limit := unix.Rlimit{Cur: 1024}
	_ = unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	return int(min(limit.Cur, maxRaised) / 16 * 15)
}
