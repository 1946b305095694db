package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Keys of the test protocol. All are keys without flexible versions at version 0.
const (
	keyStage = 0  // answered by Settle
	keyEcho  = 1  // answered at once
	keyPark  = 11 // waits until its peer's context ends
	keyPanic = 12
	keyFail  = 13
	keySlow  = 14 // waits for the test
)

type testSession struct {
	peer   *Peer
	staged [][2][]byte // correlation id, body
	slow   chan struct{}
	parked chan struct{}
	closed chan struct{}
}

func (s *testSession) Handle(req *Request, w *Writer) error {
	if req.Key == keyStage {
		s.staged = append(s.staged, [2][]byte{binary.BigEndian.AppendUint32(nil, uint32(req.CorrelationID)), req.Body})
		return nil
	}
	if err := s.Settle(w); err != nil {
		return err
	}
	switch req.Key {
	case keyPanic:
		panic("a fault")
	case keyFail:
		return errors.New("refused")
	case keySlow:
		<-s.slow
	case keyPark:
		if err := w.Park(); err != nil {
			return err
		}
		s.parked <- struct{}{}
		<-s.peer.Context.Done()
		w.Unpark()
		req.Body = nil
	}
	answer(w, req.CorrelationID, req.Body)
	return nil
}

func answer(w *Writer, correlationID int32, body []byte) {
	w.Begin(correlationID, false)
	w.Buf = append(w.Buf, body...)
	w.End()
}

func (s *testSession) Settle(w *Writer) error {
	for _, r := range s.staged {
		answer(w, int32(binary.BigEndian.Uint32(r[0])), r[1])
	}
	s.staged = s.staged[:0]
	return nil
}

func (s *testSession) Resume(*Writer) error { panic("nothing was suspended") }

func (s *testSession) Signalled() bool { return false }

func (s *testSession) Close() { s.closed <- struct{}{} }

type testServer struct {
	*Server
	t      *testing.T
	slow   chan struct{}
	parked chan struct{}
	closed chan struct{}
	logged *syncBuffer
	done   chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func start(t *testing.T, configure func(*Config)) *testServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{t: t, slow: make(chan struct{}), parked: make(chan struct{}, 100), closed: make(chan struct{}, 10000),
		logged: &syncBuffer{}, done: make(chan error, 1)}
	cfg := Config{
		Name: "PLAINTEXT", Listener: listener, HousekeepingInterval: 10 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(ts.logged, nil)),
		NewSession: func(p *Peer) Session {
			return &testSession{peer: p, slow: ts.slow, parked: ts.parked, closed: ts.closed}
		},
	}
	if configure != nil {
		configure(&cfg)
	}
	if ts.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	go func() { ts.done <- ts.Serve() }()
	t.Cleanup(func() { ts.stop(5 * time.Second) })
	return ts
}

func (ts *testServer) stop(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = ts.Close(ctx)
	if ts.done != nil {
		if err := <-ts.done; err != nil {
			ts.t.Errorf("Serve: %v", err)
		}
		ts.done = nil
	}
}

func (ts *testServer) dial() net.Conn {
	ts.t.Helper()
	c, err := net.Dial("tcp", ts.Addr().String())
	if err != nil {
		ts.t.Fatal(err)
	}
	ts.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func frame(key int16, correlationID int32, body []byte) []byte {
	b := make([]byte, 4, 20+len(body))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(correlationID))
	b = binary.BigEndian.AppendUint16(b, 4)
	b = append(b, "test"...)
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func readAnswer(r io.Reader) (correlationID int32, body []byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[:]))
	if _, err := io.ReadFull(r, b); err != nil || len(b) < 4 {
		return 0, nil, fmt.Errorf("answer of %d bytes: %w", len(b), cmp.Or(err, io.ErrUnexpectedEOF))
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:], nil
}

func expectClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Fatalf("the connection stays open: %v", err)
	}
}

// However the bytes of pipelined requests are cut on their way, every answer comes, whole and in order.
func TestAnswersInOrderHoweverFramesAreCut(t *testing.T) {
	ts := start(t, nil)
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			c := ts.dial()
			var stream []byte
			var bodies [][]byte
			for i := range 300 {
				size := rng.IntN(200)
				if rng.IntN(20) == 0 {
					size = rng.IntN(300_000)
				}
				body := bytes.Repeat([]byte{byte(i)}, size)
				bodies = append(bodies, body)
				stream = append(stream, frame(int16(rng.IntN(2)), int32(i), body)...)
			}
			go func() {
				for len(stream) > 0 {
					n := min(len(stream), 1+rng.IntN(1<<rng.IntN(20)))
					if _, err := c.Write(stream[:n]); err != nil {
						return
					}
					stream = stream[n:]
				}
			}()
			for i, want := range bodies {
				id, body, err := readAnswer(c)
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				if id != int32(i) || !bytes.Equal(body, want) {
					t.Fatalf("answer %d has id %d and %d bytes, want %d bytes", i, id, len(body), len(want))
				}
			}
		})
	}
}

func TestLargeFrameGrowsItsBuffer(t *testing.T) {
	ts := start(t, nil)
	c := ts.dial()
	body := bytes.Repeat([]byte("0123456789"), 900_000)
	for i := range int32(3) {
		go c.Write(frame(keyEcho, i, body))
		id, got, err := readAnswer(c)
		if err != nil || id != i || !bytes.Equal(got, body) {
			t.Fatalf("answer %d: id %d, %d bytes, %v", i, id, len(got), err)
		}
	}
}

// A length is only a claim: 1,000 connections that claim 100 MiB each and send little must cost little.
func TestClaimedLengthAllocatesNothing(t *testing.T) {
	ts := start(t, nil)
	for range 50 {
		c := ts.dial()
		head := binary.BigEndian.AppendUint32(nil, 100<<20-4)
		if _, err := c.Write(append(head, make([]byte, 100)...)); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		half := 0
		ts.each(func(c *connection) {
			if c.frameBegan.Load() != 0 {
				half++
			}
		})
		if half == 50 {
			if held := ts.inputBytes.Load(); held > 50*(32<<10) {
				t.Fatalf("%d bytes of buffers for 50 times 104 bytes received", held)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of 50 connections have begun a frame", half)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestHostileBytesCloseTheConnectionOnly(t *testing.T) {
	ts := start(t, func(c *Config) { c.RequestMaxBytes = 1 << 20 })
	witness := ts.dial()
	for name, input := range map[string][]byte{
		"negative length":       {0xff, 0xff, 0xff, 0xff, 0},
		"length over the limit": {0x00, 0x10, 0x00, 0x01, 0},
		"no room for a header":  {0, 0, 0, 3, 1, 2, 3},
		"empty frame":           {0, 0, 0, 0},
		"client id past end":    append([]byte{0, 0, 0, 10, 0, 1, 0, 0, 0, 0, 0, 1}, 0x7f, 0xff),
		"client id below -1":    append([]byte{0, 0, 0, 10, 0, 1, 0, 0, 0, 0, 0, 1}, 0xff, 0xf0),
		"handler refuses":       frame(keyFail, 1, nil),
		"handler panics":        frame(keyPanic, 1, nil),
	} {
		t.Run(name, func(t *testing.T) {
			c := ts.dial()
			if _, err := c.Write(input); err != nil {
				t.Fatal(err)
			}
			expectClosed(t, c)
		})
	}
	if _, err := witness.Write(frame(keyEcho, 7, []byte("still here"))); err != nil {
		t.Fatal(err)
	}
	if id, body, err := readAnswer(witness); err != nil || id != 7 || string(body) != "still here" {
		t.Fatalf("the other connection: %d %q %v", id, body, err)
	}
}

// What came before the fault is answered.
func TestAnswersBeforeAFaultAreSent(t *testing.T) {
	ts := start(t, nil)
	c := ts.dial()
	c.Write(append(frame(keyEcho, 1, []byte("first")), frame(keyFail, 2, nil)...))
	if id, body, err := readAnswer(c); err != nil || id != 1 || string(body) != "first" {
		t.Fatalf("%d %q %v", id, body, err)
	}
	expectClosed(t, c)
}

func TestForeignProtocolsAreRecognised(t *testing.T) {
	ts := start(t, nil)
	c := ts.dial()
	io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
	got, _ := io.ReadAll(c)
	if !strings.HasPrefix(string(got), "HTTP/1.1 400 ") || !strings.Contains(string(got), "Kafka protocol") {
		t.Fatalf("HTTP client reads %q", got)
	}
	c = ts.dial()
	c.Write([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00})
	expectClosed(t, c)
	for _, want := range []string{"the client speaks HTTP", "the client speaks TLS", "peer=127.0.0.1:"} {
		if !strings.Contains(ts.logged.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, ts.logged)
		}
	}
}

func TestSlowSenderIsClosed(t *testing.T) {
	ts := start(t, func(c *Config) { c.FrameGrace = 50 * time.Millisecond })
	slow, idle := ts.dial(), ts.dial()
	slow.Write([]byte{0, 0, 1, 0, 9})
	expectClosed(t, slow)
	idle.Write(frame(keyEcho, 1, nil))
	if _, _, err := readAnswer(idle); err != nil {
		t.Fatalf("a connection without a half frame was closed: %v", err)
	}
}

// What a sender brought quickly gives it no right to hold it for ever.
func TestSenderThatStopsInALargeFrameIsClosed(t *testing.T) {
	ts := start(t, func(c *Config) { c.FrameGrace = 50 * time.Millisecond })
	c := ts.dial()
	c.Write(append([]byte{0, 64, 0, 0}, make([]byte, 2<<20)...)) // half of it: 64 s at the speed that is asked for
	expectClosed(t, c)
}

// Large frames that together need more than the budget wait for each other's memory: all but one give up, and it ends.
func TestLargeFramesDoNotWaitForEachOtherForEver(t *testing.T) {
	ts := start(t, func(c *Config) {
		c.FrameGrace, c.MemoryBudget = 100*time.Millisecond, NewBudget(8<<20)
	})
	half := append([]byte{0, 64, 0, 0}, make([]byte, 3<<20)...)
	for range 4 {
		c := ts.dial()
		go c.Write(half)
	}
	time.Sleep(50 * time.Millisecond)
	for deadline := time.Now().Add(10 * time.Second); ; {
		c := ts.dial()
		go c.Write(frame(keyEcho, 1, make([]byte, 3<<20)))
		_, _, err := readAnswer(c)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("a whole large frame was not answered: %v", err)
		}
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	const idle = 100 * time.Millisecond
	ts := start(t, func(c *Config) { c.MaxIdle = idle })
	c := ts.dial()
	used := time.Now()
	for i := int32(0); i < 6; { // not while it is used
		time.Sleep(idle / 4)
		c.Write(frame(keyEcho, i, nil))
		_, _, err := readAnswer(c)
		switch now := time.Now(); {
		case err == nil:
			i, used = i+1, now
		case now.Sub(used) < idle:
			t.Fatalf("closed while in use: %v", err)
		default: // the machine was busy, and the connection idle for that long
			c = ts.dial()
			used = time.Now()
		}
	}
	expectClosed(t, c)
}

func TestConnectionLimits(t *testing.T) {
	ts := start(t, func(c *Config) { c.MaxConnectionsPerIP = 2 })
	first, second := ts.dial(), ts.dial()
	for _, c := range []net.Conn{first, second} {
		c.Write(frame(keyEcho, 1, nil))
		if _, _, err := readAnswer(c); err != nil {
			t.Fatal(err)
		}
	}
	expectClosed(t, ts.dial())
	first.Close()
	<-ts.closed
	for deadline := time.Now().Add(5 * time.Second); ; {
		third := ts.dial()
		third.Write(frame(keyEcho, 1, nil))
		if _, _, err := readAnswer(third); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a closed connection still counts")
		}
	}
}

func TestParkedHandlerEndsWhenItsPeerLeaves(t *testing.T) {
	ts := start(t, nil)
	c := ts.dial()
	c.Write(append(frame(keyEcho, 1, []byte("x")), frame(keyPark, 2, nil)...))
	if _, _, err := readAnswer(c); err != nil { // sent before the wait
		t.Fatal(err)
	}
	<-ts.parked
	c.Close()
	select {
	case <-ts.closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the handler still waits for a peer that is gone")
	}
}

func TestCloseLetsRequestsInHandFinish(t *testing.T) {
	ts := start(t, nil)
	busy, parked, idle := ts.dial(), ts.dial(), ts.dial()
	busy.Write(frame(keySlow, 1, []byte("done")))
	parked.Write(frame(keyPark, 2, nil))
	<-ts.parked
	time.Sleep(20 * time.Millisecond) // the slow request is in its handler
	closed := make(chan struct{})
	go func() {
		ts.stop(10 * time.Second)
		close(closed)
	}()
	expectClosed(t, idle)
	if id, _, err := readAnswer(parked); err != nil || id != 2 {
		t.Fatalf("the parked request: %d %v", id, err)
	}
	select {
	case <-closed:
		t.Fatal("Close did not wait for a request in hand")
	case <-time.After(50 * time.Millisecond):
	}
	close(ts.slow)
	if id, body, err := readAnswer(busy); err != nil || id != 1 || string(body) != "done" {
		t.Fatalf("the request in hand: %d %q %v", id, body, err)
	}
	<-closed
}

// Whoever closes need not know whether serving has begun: under the race detector this fails when the two are not in order.
func TestCloseWhileServingBegins(t *testing.T) {
	for range 20 {
		if err := start(t, nil).Server.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseEndsWhatTakesTooLong(t *testing.T) {
	ts := start(t, nil)
	c := ts.dial()
	c.Write(frame(keyPark, 1, nil))
	<-ts.parked
	ts.stop(0)
	expectClosed(t, c)
}

func TestIdleConnectionsHoldNoBuffers(t *testing.T) {
	ts := start(t, nil)
	for i := range int32(20) {
		c := ts.dial()
		c.Write(frame(keyEcho, i, make([]byte, 100_000)))
		if _, _, err := readAnswer(c); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); ts.inputBytes.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("idle connections hold %d bytes", ts.inputBytes.Load())
		}
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	registry := prometheus.NewRegistry()
	newMetrics(registry, "PLAINTEXT", new(atomic.Int64))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Fatalf("%v %v", problems, err)
	}
}
