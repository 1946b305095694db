package server

import (
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lateSession suspends every request for so many milliseconds as its body says, and does on Resume what its key says.
type lateSession struct {
	notify    chan func(bool) // receives what tells of news, once a request waits
	key       int16
	id        int32
	remaining int // how often Resume suspends again
	news      atomic.Bool
}

func (s *lateSession) Handle(req *Request, w *Writer) error {
	s.news.Store(false)
	s.key, s.id, s.remaining = req.Key, req.CorrelationID, int(req.Body[4])
	wait := time.Duration(binary.BigEndian.Uint32(req.Body)) * time.Millisecond
	if err := w.Park(); err != nil {
		return err
	}
	if !w.Suspend(wait) {
		return errors.New("cannot be suspended")
	}
	notify := w.Notifier()
	s.notify <- func(here bool) {
		s.news.Store(true) // first, as a waiter does: the request may not wait yet
		notify(here)
	}
	return nil
}

func (s *lateSession) Resume(w *Writer) error {
	s.news.Store(false)
	if s.remaining > 0 {
		s.remaining--
		w.Suspend(time.Hour)
		return nil
	}
	switch s.key {
	case keyPanic:
		panic("a fault")
	case keyFail:
		return errors.New("refused")
	}
	w.Unpark()
	answer(w, s.id, []byte("late"))
	return nil
}

func (s *lateSession) Settle(*Writer) error { return nil }
func (s *lateSession) Signalled() bool      { return s.news.Load() }
func (s *lateSession) Close()               {}

// startLate returns a connection to a server of late sessions and where their notifiers come from.
func startLate(t *testing.T) (*testServer, net.Conn, chan func(bool)) {
	notify := make(chan func(bool), 1)
	ts := start(t, func(cfg *Config) {
		cfg.NewSession = func(*Peer) Session { return &lateSession{notify: notify} }
	})
	return ts, ts.dial(), notify
}

func lateFrame(key int16, wait time.Duration, again byte) []byte {
	return frame(key, 7, append(binary.BigEndian.AppendUint32(nil, uint32(wait.Milliseconds())), again))
}

func TestSuspendedAnswersAreGivenByWhoHasNewsOrByTime(t *testing.T) {
	_, c, notify := startLate(t)
	for _, here := range []bool{true, false, true} {
		c.Write(lateFrame(keyEcho, time.Hour, 0))
		(<-notify)(here)
		if id, body, err := readAnswer(c); err != nil || id != 7 || string(body) != "late" {
			t.Fatal(here, id, string(body), err)
		}
	}
	c.Write(lateFrame(keyEcho, 20*time.Millisecond, 0))
	<-notify
	if _, body, err := readAnswer(c); err != nil || string(body) != "late" {
		t.Fatal("after its time:", string(body), err)
	}
}

// News that is not enough leaves the request waiting; news without a waiting request is nothing.
func TestNewsThatIsNotEnough(t *testing.T) {
	_, c, notify := startLate(t)
	c.Write(lateFrame(keyEcho, time.Hour, 3))
	tell := <-notify
	for range 3 {
		tell(true)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if _, _, err := readAnswer(c); err == nil {
		t.Fatal("answered too early")
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for range 4 {
		tell(true)
	}
	if _, body, err := readAnswer(c); err != nil || string(body) != "late" {
		t.Fatal(string(body), err)
	}
	tell(true)
	tell(false)
	c.Write(lateFrame(keyEcho, time.Hour, 0))
	(<-notify)(true)
	if _, _, err := readAnswer(c); err != nil {
		t.Fatal(err)
	}
}

// A fault in the answer ends the connection that it is for, not the one whose goroutine found it.
func TestFaultsOfSuspendedAnswersEndTheirConnection(t *testing.T) {
	for key, want := range map[int16]string{keyPanic: "a fault", keyFail: "refused"} {
		for _, here := range []bool{true, false} {
			ts, c, notify := startLate(t)
			c.Write(lateFrame(key, time.Hour, 0))
			(<-notify)(here)
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Fatalf("key %d, here %v: %v", key, here, err)
			}
			ts.stop(5 * time.Second)
			if !strings.Contains(ts.logged.String(), want) || !strings.Contains(ts.logged.String(), slog.LevelWarn.String()) {
				t.Fatalf("the log does not say %q: %s", want, ts.logged)
			}
		}
	}
}
