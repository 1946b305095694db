// Package socket reads and writes TCP connections without telling Go's scheduler, which costs more than small transfers do.
//
// It owns the system calls and why they are made so; waiting is left to the runtime's poller. Frames, answers and deadlines
// belong to who uses a connection: package server as the one that is asked, package peer as the one that asks.
//
//	net.Conn --Raw--> syscall.RawConn --Read/Write(step)--> step(fd): socket.Read | socket.Write until EAGAIN
//
// A connection that is not TCP, as in tests, has no RawConn here: it is used through net.Conn.
package socket
