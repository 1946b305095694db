package peer

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// The environment of a process that is to be killed names whom it dials.
const (
	lifelineOfMortal = "MILLRACE_TEST_LIFELINE"
	clientsOfMortal  = "MILLRACE_TEST_CLIENTS"
	clientsCount     = 200
)

// TestMortal is the process that TestLifelineIsCutFirst kills; alone it has nothing to do.
func TestMortal(t *testing.T) {
	address := os.Getenv(lifelineOfMortal)
	if address == "" {
		return
	}
	if _, err := DialLifeline(context.Background(), config(identity(1), ""), 2, address); err != nil {
		t.Fatal(err)
	}
	for range clientsCount {
		if _, err := net.Dial("tcp", os.Getenv(clientsOfMortal)); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or who would kill it has ended
}

// Whoever sees a connection of a killed process end finds its lifeline cut. Softirqs of a busy machine may change the order
// of what the kernel sent, so it may take more than one process.
func TestLifelineIsCutFirst(t *testing.T) {
	m, address := serve(t, config(identity(2), ""))
	clients, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer clients.Close()
	for tries := 1; ; tries++ {
		late := killMortal(t, m, address, clients)
		if late == 0 {
			return
		}
		if tries == 5 {
			t.Fatalf("%d of %d clients saw the end of the process before its lifeline was cut, in the last of %d", late, clientsCount, tries)
		}
	}
}

// killMortal returns how many clients saw the end of the process while its lifeline held.
func killMortal(t *testing.T, m *Mux, address string, clients net.Listener) (late int) {
	t.Helper()
	mortal := exec.Command(os.Args[0], "-test.run=^TestMortal$")
	mortal.Env = append(os.Environ(), lifelineOfMortal+"="+address, clientsOfMortal+"="+clients.Addr().String())
	if _, err := mortal.StdinPipe(); err != nil { // stays open: the process waits for its end
		t.Fatal(err)
	}
	if err := mortal.Start(); err != nil {
		t.Fatal(err)
	}
	line := accept(t, m.Lifelines())
	held := make(chan bool, clientsCount)
	for range clientsCount {
		conn := accept(t, clients)
		go func() {
			_, _ = conn.Read(make([]byte, 1))
			held <- !Lost(line)
		}()
	}
	if Lost(line) {
		t.Error("the lifeline of a process that lives counts as cut")
	}
	if err := mortal.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range clientsCount {
		if <-held {
			late++
		}
	}
	var killed *exec.ExitError
	if err := mortal.Wait(); !errors.As(err, &killed) {
		t.Errorf("the process was not killed: %v", err)
	}
	return late
}

// What reads a lifeline is told of both ends of it.
func TestLifelineEndsFromBothSides(t *testing.T) {
	m, address := serve(t, config(identity(2), ""))
	for _, closeAccepted := range []bool{true, false} {
		line, err := DialLifeline(t.Context(), config(identity(1), ""), 2, address)
		if err != nil {
			t.Fatal(err)
		}
		if number := descriptorOf(t, line); number < highDescriptor() {
			t.Errorf("the lifeline is descriptor %d, want one above %d", number, highDescriptor())
		}
		accepted := accept(t, m.Lifelines())
		if who, known := m.Peer(accepted.RemoteAddr()); !known || who.NodeID != 1 {
			t.Errorf("the lifeline is that of %v", who)
		}
		time.AfterFunc(time.Millisecond, func() {
			if closeAccepted {
				_ = accepted.Close()
			} else {
				_ = line.Close()
			}
		})
		if n, err := line.Read(make([]byte, 1)); n > 0 || err == nil {
			t.Errorf("read %d bytes, %v", n, err)
		}
		AwaitLost(accepted)
		_ = line.Close()
	}
}

func descriptorOf(t *testing.T, line io.ReadCloser) (number int) {
	t.Helper()
	raw, err := line.(syscall.Conn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { number = int(fd) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return number
}
