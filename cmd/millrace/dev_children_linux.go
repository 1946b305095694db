package main

import "syscall"

// endWithParent makes a child end, cleanly, when the thread that started it does, even by kill -9.
func endWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
