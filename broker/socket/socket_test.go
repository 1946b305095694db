//go:build unix

package socket

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"testing"
	"time"
)

// pair is the two ends of a TCP connection.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func TestStreamCarriesMoreThanASocketHolds(t *testing.T) {
	near, far := pair(t)
	sent := make([]byte, 20<<20)
	for i := range sent {
		sent[i] = byte(rand.Uint32())
	}
	written := make(chan error, 1)
	go func() {
		n, err := NewStream(near).Write(sent)
		if n != len(sent) {
			err = errors.Join(err, io.ErrShortWrite)
		}
		near.Close()
		written <- err
	}()
	got, err := io.ReadAll(NewStream(far))
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("read %d of %d bytes, the same %v: %v", len(got), len(sent), bytes.Equal(got, sent), err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestStreamEnds(t *testing.T) {
	near, far := pair(t)
	s := NewStream(near)
	if err := s.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read past its deadline: %v", err)
	}
	if err := s.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other end closed: %v", err)
	}
	s.Close()
	if _, err := s.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed here: %v", err)
	}
	if _, err := s.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write to what was closed here: %v", err)
	}
}

func TestStreamOverAnythingElse(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	go func() { _, _ = NewStream(near).Write([]byte("through a pipe")) }()
	got := make([]byte, 14)
	if _, err := io.ReadFull(NewStream(far), got); err != nil || string(got) != "through a pipe" {
		t.Errorf("%q, %v", got, err)
	}
}
