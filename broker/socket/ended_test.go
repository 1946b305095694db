//go:build unix

package socket

import (
	"net"
	"testing"
	"time"
)

// The end of a connection is known while somebody waits in Read, and not before what came before it is read.
func TestEnded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if Ended(conn) {
		t.Error("a connection that is open has ended")
	}
	if _, err := other.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if Ended(conn) {
		t.Error("a connection that has something to read has ended")
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); !Ended(conn); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a connection that was closed has not ended")
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if !Ended(conn) {
		t.Error("a connection closed here has not ended")
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if Ended(ours) {
		t.Error("what has no descriptor is known to have ended")
	}
}
