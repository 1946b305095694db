package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Session handles the requests of one connection. All its methods are called from that connection's goroutine.
type Session interface {
	// Handle answers one request by appending to w, or stages it to be answered by Settle. An answer of an earlier
	// staged request must be appended before that of a later one. An error closes the connection after what w
	// holds was written.
	Handle(req *Request, w *Writer) error
	// Settle answers everything staged. The server calls it at the end of a burst of frames.
	Settle(w *Writer) error
	// Resume goes on with a request whose answer Writer.Suspend left for later: it appends the answer, or suspends it again.
	// It may run on other goroutines than the rest, one at a time.
	Resume(w *Writer) error
	// Signalled reports whether there is news for a suspended answer.
	Signalled() bool
	// Close ends the session; nothing is called after it.
	Close()
}

// Config says how a listener behaves. Fixed after New.
type Config struct {
	Name       string // of the listener, e.g. "PLAINTEXT"
	Listener   net.Listener
	NewSession func(*Peer) Session

	RequestMaxBytes      int              // socket.request.max.bytes
	FrameLimit           func(*Peer) int  // optional: a smaller limit for a frame of this peer, e.g. before it authenticated
	MaxConnections       int              // max.connections; 0: no limit
	MaxConnectionsPerIP  int              // max.connections.per.ip; 0: no limit
	MaxIdle              time.Duration    // connections.max.idle.ms; 0: no limit
	FrameGrace           time.Duration    // in which a started frame must be whole or bring its bytes at frameMinBytesPerSecond
	MemoryBudget         *Budget          // bounds what large frames may take, shared by all listeners of a broker
	Clock                func() time.Time // defaults to time.Now
	Logger               *slog.Logger
	Registerer           prometheus.Registerer // optional
	SendBufferBytes      int                   // socket.send.buffer.bytes; 0 or less: the system's
	ReceiveBufferBytes   int                   // socket.receive.buffer.bytes
	MaxDrainBytes        int                   // how much one read may take from a socket; default 512 KiB
	IdleReadBufferBytes  int                   // first read buffer of a burst; default 16 KiB
	MaxWriteBatchBytes   int                   // answers are written when they exceed this; default 256 KiB
	FreeBufferBytes      int                   // how much the pool of buffers keeps; default 16 MiB
	HousekeepingInterval time.Duration         // how often limits in time are looked at; default 1 s
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if c.Listener == nil {
		faults = append(faults, errors.New("a listener is missing"))
	}
	if c.NewSession == nil {
		faults = append(faults, errors.New("the maker of sessions is missing"))
	}
	if c.RequestMaxBytes < 0 || c.RequestMaxBytes > 1<<31-1 {
		faults = append(faults, fmt.Errorf("socket.request.max.bytes: %d is out of range", c.RequestMaxBytes))
	}
	if c.MaxConnections < 0 || c.MaxConnectionsPerIP < 0 {
		faults = append(faults, errors.New("connection limits must not be negative"))
	}
	return errors.Join(faults...)
}

func (c *Config) withDefaults() Config {
	d := *c
	setDefault(&d.RequestMaxBytes, 100<<20)
	setDefault(&d.MaxDrainBytes, 512<<10)
	setDefault(&d.IdleReadBufferBytes, 16<<10)
	setDefault(&d.MaxWriteBatchBytes, 256<<10)
	setDefault(&d.FreeBufferBytes, 16<<20)
	setDefault(&d.FrameGrace, 30*time.Second)
	setDefault(&d.HousekeepingInterval, time.Second)
	if d.Clock == nil {
		d.Clock = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.MemoryBudget == nil {
		d.MemoryBudget = NewBudget(4 * int64(d.RequestMaxBytes))
	}
	return d
}

func setDefault[T int | time.Duration](value *T, def T) {
	if *value == 0 {
		*value = def
	}
}
