//go:build !unix

package server

import (
	"net"
	"syscall"
)

func rawConn(net.Conn) syscall.RawConn { return nil }

func (in *input) readDescriptor(uintptr) bool { return true }

func hungUp(syscall.RawConn) bool { return false }
