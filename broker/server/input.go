package server

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/millrace-io/millrace/broker/socket"
)

const (
	// A buffer up to this size is not counted against the memory budget: the number of connections bounds them.
	unbudgetedBytes = 512 << 10
	// A connection remembers the buffer size it earned up to here; larger frames earn theirs each time.
	rememberedBytes = 4 << 20
	// After so many bursts that used less than a quarter of the buffer, the next one starts with half of it.
	shrinkAfterBursts = 16
)

// frameError is a frame that cannot be read: the connection ends.
type frameError struct{ message string }

func (e *frameError) Error() string { return e.message }

// input is the read side of a connection: bytes as they arrive, cut into frames. Owned by the connection's goroutine.
//
//	buf: | handled | start: unread frames ... half a frame :end | free |
type input struct {
	conn     net.Conn
	raw      syscall.RawConn // nil where reads go through conn, e.g. in tests without sockets
	readRaw  func(fd uintptr) bool
	slabs    *slabs
	budget   *Budget
	held     *atomic.Int64 // bytes in the read buffers of all connections
	maxDrain int
	minSize  int

	buf        []byte // nil while the connection waits for bytes
	start, end int
	lacking    int   // size of the frame that is not complete, as far as it is known
	budgeted   int64 // what buf took of the budget
	want       int   // size of the next buffer
	quiet      int   // bursts in a row that needed little of the buffer
	peak       int   // most bytes held since the buffer was taken

	n   int   // result of readRaw
	err error // result of readRaw
}

func newInput(conn net.Conn, s *slabs, budget *Budget, held *atomic.Int64, minSize, maxDrain int) *input {
	in := &input{conn: conn, slabs: s, budget: budget, held: held, maxDrain: maxDrain, minSize: minSize, want: minSize}
	in.raw = socket.Raw(conn)
	in.readRaw = in.readDescriptor
	return in
}

// fill waits for bytes and takes what one read gives. Frames that next returned are no longer valid then: the bytes of a
// frame that is not complete may move.
func (in *input) fill(ctx context.Context) error {
	if err := in.makeRoom(ctx, in.lacking); err != nil {
		return err
	}
	if in.raw == nil {
		return in.fillPortable()
	}
	in.n, in.err = 0, nil
	if err := in.raw.Read(in.readRaw); err != nil {
		return err
	}
	return in.took(in.n, in.err)
}

func (in *input) fillPortable() error {
	if in.buf == nil {
		var first [1]byte
		n, err := in.conn.Read(first[:]) // an idle connection holds one byte
		if n == 0 {
			return in.took(0, err)
		}
		in.take()
		in.buf[0] = first[0]
		return in.took(1, nil)
	}
	n, err := in.conn.Read(in.buf[in.end:])
	if n > 0 {
		err = nil
	}
	return in.took(n, err)
}

func (in *input) took(n int, err error) error {
	if err != nil {
		return err
	}
	if n == 0 {
		if in.start != in.end {
			return io.ErrUnexpectedEOF
		}
		return io.EOF
	}
	in.end += n
	in.peak = max(in.peak, in.end-in.start)
	if in.end == len(in.buf) && len(in.buf) < in.maxDrain {
		in.want = max(in.want, 2*len(in.buf)) // the socket had more: read more at once the next time
		in.quiet = 0
	}
	return nil
}

// next returns the next complete frame without its length prefix; ok is false when more bytes are needed.
func (in *input) next(limit int) (frame []byte, ok bool, err error) {
	have := in.end - in.start
	size := 0
	if have >= 4 {
		size = int(int32(binary.BigEndian.Uint32(in.buf[in.start:])))
		if size < 0 || size > limit {
			return nil, false, &frameError{fmt.Sprintf("a frame of %d bytes is announced; at most %d are accepted", size, limit)}
		}
		if have >= 4+size {
			frame = in.buf[in.start+4 : in.start+4+size : in.start+4+size]
			in.start += 4 + size
			return frame, true, nil
		}
	}
	in.lacking = 4 + size
	return nil, false, nil
}

// makeRoom moves the unread bytes to the front, and takes a buffer of twice the size when they fill this one.
func (in *input) makeRoom(ctx context.Context, frameBytes int) error {
	if in.buf == nil {
		return nil
	}
	have := in.end - in.start
	size := len(in.buf)
	if frameBytes > size && have*2 > size || have == size {
		size = 2 * size
	} else if in.want > size && have == 0 {
		size = in.want
	}
	if size == len(in.buf) {
		if in.start > 0 && (have == 0 || len(in.buf)-in.start < frameBytes || in.end == len(in.buf)) {
			copy(in.buf, in.buf[in.start:in.end])
			in.start, in.end = 0, have
		}
		return nil
	}
	budgeted := int64(0)
	if size > unbudgetedBytes {
		budgeted = int64(size)
		if err := in.budget.Acquire(ctx, budgeted); err != nil {
			return err
		}
	}
	larger := in.slabs.get(size)
	in.held.Add(int64(len(larger)))
	copy(larger, in.buf[in.start:in.end])
	in.give()
	in.buf, in.start, in.end, in.budgeted = larger, 0, have, budgeted
	in.peak = have
	if size <= rememberedBytes {
		in.want, in.quiet = max(in.want, size), 0
	}
	return nil
}

// take gets a buffer for a burst that begins.
func (in *input) take() {
	size := in.want
	if size > unbudgetedBytes {
		if in.budget.TryAcquire(int64(size)) {
			in.budgeted = int64(size)
		} else {
			size = in.minSize
		}
	}
	in.buf = in.slabs.get(size)
	in.held.Add(int64(len(in.buf)))
	in.start, in.end, in.peak = 0, 0, 0
}

// give returns the buffer to the pool.
func (in *input) give() {
	if in.budgeted > 0 {
		in.budget.Release(in.budgeted)
		in.budgeted = 0
	}
	in.held.Add(-int64(len(in.buf)))
	in.slabs.put(in.buf)
	in.buf = nil
}

// rest gives the buffer back when nothing unread is in it.
func (in *input) rest() {
	if in.buf == nil || in.start != in.end {
		return
	}
	if in.want > in.minSize && in.peak < in.want/4 {
		if in.quiet++; in.quiet >= shrinkAfterBursts {
			in.want, in.quiet = in.want/2, 0
		}
	} else {
		in.quiet = 0
	}
	in.give()
	in.start, in.end = 0, 0
}

// first returns the first unread bytes.
func (in *input) first(n int) []byte { return in.buf[in.start:min(in.end, in.start+n)] }

// partial reports whether a frame has begun and not ended, and how many of its bytes are here.
func (in *input) partial() (bytes int, ok bool) { return in.end - in.start, in.end > in.start }

func (in *input) close() {
	if in.buf != nil {
		in.give()
	}
}
