//go:build e2e

package hostile

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// Bytes that are not Kafka's end the connection, with a line in the log that names the peer.
func TestGarbageIsRefusedAndNamed(t *testing.T) {
	n := startNode(t, 64, nil)
	random := make([]byte, 64<<10)
	for i := range random {
		random[i] = byte(rand.IntN(256))
	}
	random[0] = 0xc3 // a negative length: else the broker waits for the rest of a frame
	length := func(size uint32) []byte { return binary.BigEndian.AppendUint32(nil, size) }
	for _, tc := range []struct {
		name   string
		bytes  []byte
		answer string // what the peer is told before the end
	}{
		{"random bytes", random, ""},
		{"all ones", bytes.Repeat([]byte{0xff}, 4096), ""},
		{"HTTP GET", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 400"},
		{"HTTP POST", []byte("POST /topics HTTP/1.0\r\n\r\n"), "HTTP/1.1 400"},
		{"HTTP/2", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "HTTP/1.1 400"},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.2\r\n"), ""},
		{"length 2^31-1", length(1<<31 - 1), ""},
		{"length -1", length(1<<32 - 1), ""},
		{"length -2^31", length(1 << 31), ""},
		{"length one more than the limit", length(100<<20 + 1), ""},
		{"length 0", length(0), ""},
		{"a header that is cut", frame([]byte{0, 18, 0}), ""},
		{"an API that does not exist", frame(header(999, 0, 1, false)), ""},
		{"a negative API", frame(header(-7, 0, 1, false)), ""},
		{"a version that does not exist", frame(header(3, 30000, 1, true)), ""},
		{"a negative version", frame(header(1, -3, 1, false)), ""},
		{"a client id longer than the frame", frame([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 'x'}), ""},
		{"a client id of length -2", frame([]byte{0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xfe, 'x'}), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			time.Sleep(250 * time.Millisecond) // at most five such lines are logged in a second
			p := n.dial()
			if _, err := p.Write(tc.bytes); err != nil {
				t.Fatal(err)
			}
			_ = p.SetReadDeadline(time.Now().Add(5 * time.Second))
			answer, err := io.ReadAll(p)
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Error("the broker keeps the connection open")
			}
			if !strings.HasPrefix(string(answer), tc.answer) {
				t.Errorf("answered %q, want %q", answer, tc.answer)
			}
			mustName(t, n, p.LocalAddr())
		})
	}
	t.Run("TLS", func(t *testing.T) {
		time.Sleep(250 * time.Millisecond)
		p := n.dial()
		if err := tls.Client(p, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
			t.Error("a TLS handshake succeeded on a plain listener")
		}
		mustName(t, n, p.LocalAddr())
		if !strings.Contains(n.Log(), "TLS") {
			t.Error("the log does not say that the bytes are TLS")
		}
	})
	n.awaitNeighbour(20)
}

// mustName looks for the peer's address in the broker's log.
func mustName(t *testing.T, n *node, address net.Addr) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Second); !strings.Contains(n.Log(), address.String()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("no line of the log names %v", address)
			return
		}
	}
}

// Random mutations of bytes after a sound header, on many connections at once.
func TestRandomBodies(t *testing.T) {
	n := startNode(t, 128, nil)
	deadline := time.Now().Add(5 * time.Second)
	done := make(chan int)
	for range 4 {
		go func() {
			sent := 0
			for ; time.Now().Before(deadline); sent++ {
				c, err := net.Dial("tcp", n.Address())
				if err != nil {
					t.Error(err)
					break
				}
				body := make([]byte, rand.IntN(200))
				for i := range body {
					body[i] = []byte{0, 1, 2, 0x7f, 0x80, 0xff, byte(rand.IntN(256))}[rand.IntN(7)]
				}
				key := int16(rand.IntN(93))
				_, _ = c.Write(frame(append(header(key, int16(rand.IntN(18)), 1, rand.IntN(2) == 0), body...)))
				_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				_, _ = c.Read(make([]byte, 64))
				c.Close()
			}
			done <- sent
		}()
	}
	sum := 0
	for range 4 {
		sum += <-done
	}
	t.Logf("%d requests", sum)
	n.awaitNeighbour(20)
}
