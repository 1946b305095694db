package harness

import "syscall"

// ownGroup gives a program a process group of its own, and its death when the test process dies without cleaning up.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// apart gives a program a process group of its own: what is sent to that of the test process does not end it.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
