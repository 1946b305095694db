package record

import (
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
)

const (
	// turnBytes is what one of the many may unpack to at a time; what is larger takes the one large turn.
	turnBytes = 8 << 20
	// maxTurns is how many batches may be unpacked at once: it is work for a processor, more at once are not faster.
	maxTurns = 8
)

// turns bounds what batches of all connections unpack to together: maxTurns times turnBytes, and one batch of any size. A
// megabyte of a codec can stand for gigabytes, and as many connections may send it as there are.
type turns struct {
	once    sync.Once
	small   chan struct{}
	large   sync.Mutex
	buffers sync.Pool // *[]byte, for the large turn: a new one for each would wait in tens of MB for the collector
}

func (t *turns) take(k turnKind) {
	switch k {
	case smallTurn:
		t.once.Do(func() { t.small = make(chan struct{}, maxTurns) })
		t.small <- struct{}{}
	case largeTurn:
		t.large.Lock()
	}
}

func (t *turns) give(k turnKind) {
	switch k {
	case smallTurn:
		<-t.small
	case largeTurn:
		t.large.Unlock()
	}
}

type turnKind int8

const (
	noTurn turnKind = iota // not compressed, or nobody else is there to take turns with
	smallTurn
	largeTurn
)

// unpacked is the payload of one batch while it is its turn.
type unpacked struct {
	payload []byte
	codecs  *Codecs
	scratch *[]byte
	turn    turnKind
}

// done ends the turn; the payload is not valid any more.
func (u *unpacked) done() {
	if u.turn == largeTurn {
		u.codecs.turns.buffers.Put(u.scratch)
	} else {
		u.codecs.giveBuffer(u.scratch)
	}
	if u.turn != noTurn {
		u.codecs.turns.give(u.turn)
	}
}

// unpackInTurn is unpack when it is this batch's turn. done must be called soon, and before the next unpackInTurn of the
// same goroutine.
func (c *Codecs) unpackInTurn(b Batch, maxBytes int) (unpacked, error) {
	if maxBytes == 0 {
		maxBytes = DefaultMaxDecompressedBytes
	}
	if b.Attributes().Codec() == None {
		return unpacked{payload: b.Payload()}, nil
	}
	if c == nil {
		return c.unpackIn(noTurn, b, maxBytes)
	}
	u, err := c.unpackIn(smallTurn, b, min(maxBytes, turnBytes))
	if maxBytes > turnBytes && errors.Is(err, kerr.MessageTooLarge) {
		return c.unpackIn(largeTurn, b, maxBytes)
	}
	return u, err
}

func (c *Codecs) unpackIn(turn turnKind, b Batch, maxBytes int) (u unpacked, err error) {
	u = unpacked{codecs: c, turn: turn}
	if turn != noTurn {
		c.turns.take(turn)
	}
	if turn == largeTurn {
		u.scratch, _ = c.turns.buffers.Get().(*[]byte)
	}
	if u.scratch == nil {
		u.scratch = c.takeBuffer()
	}
	if u.payload, err = c.unpackInto(u.scratch, b, maxBytes); err != nil {
		u.done()
	}
	return u, err
}
