//go:build !unix

package server

import "syscall"

func (in *input) readDescriptor(uintptr) bool { return true }

func hungUp(syscall.RawConn) bool { return false }
