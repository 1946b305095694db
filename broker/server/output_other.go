//go:build !unix

package server

import "syscall"

// descriptorWriter is usable on Unix only: elsewhere everything goes through net.Conn.
type descriptorWriter struct{}

func newDescriptorWriter(syscall.RawConn) descriptorWriter { return descriptorWriter{} }

func (w *descriptorWriter) usable() bool { return false }

func (w *descriptorWriter) writeNow([]byte) int { return 0 }

func (w *descriptorWriter) write([]byte) error { panic("BUG: no descriptor to write to") }
