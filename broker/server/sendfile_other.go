//go:build !linux

package server

import (
	"syscall"

	"github.com/millrace-io/millrace/broker/vfs"
)

// fileSender is usable on Linux only: elsewhere slices of files are read into the answer.
type fileSender struct{}

func newFileSender(syscall.RawConn) fileSender { return fileSender{} }

func (s *fileSender) usable() bool { return false }

func (s *fileSender) cork(bool) {}

func (s *fileSender) send(vfs.File, int64, int) error { panic("BUG: sendfile is not usable here") }
