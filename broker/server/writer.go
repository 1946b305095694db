package server

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"github.com/millrace-io/millrace/broker/log"
)

const (
	// Slices of files up to this size are read into the answer, which then goes out by one write; larger ones go by sendfile.
	copiedFileBytes = 128 << 10
	// The same where the bytes are in memory: to copy them costs less than to wake the connection's goroutine for sendfile,
	// and whoever reads the answer finds it in the processor's cache. More than what a producer has in flight by default.
	copiedLentBytes = 512 << 10
	// An answer up to this size is written by whoever brought what it waited for, while its own client waits for that.
	maxFlushNowBytes = copiedLentBytes + 4<<10
)

// Writer gathers the answers of a connection and writes many at once. Owned by the connection's goroutine.
//
// An answer is: Begin, appending to Buf and Slice in any order, End.
type Writer struct {
	// Buf holds the bytes of answers. Between Begin and End handlers append to it and store the result back.
	Buf []byte

	conn    *connection
	pieces  []piece
	begin   int // where in Buf the answer under way begins
	first   int // of pieces: the first one of the answer under way
	open    bool
	outside int // bytes of pieces in the answer under way
	pending int // bytes of pieces in all answers not yet written
	sender  fileSender
	direct  descriptorWriter
}

// piece is a slice of a file that goes out after Buf[:at].
type piece struct {
	at    int
	slice log.Slice
}

// Begin starts the answer to a request. flexible says whether the response header has tagged fields.
func (w *Writer) Begin(correlationID int32, flexible bool) {
	if w.Buf == nil && w.conn != nil {
		w.Buf = w.conn.server.slabs.get(1 << minSlabShift)[:0]
	}
	w.begin, w.outside, w.first, w.open = len(w.Buf), 0, len(w.pieces), true
	w.Buf = append(w.Buf, 0, 0, 0, 0)
	w.Buf = binary.BigEndian.AppendUint32(w.Buf, uint32(correlationID))
	if flexible {
		w.Buf = append(w.Buf, 0)
	}
}

// Slice adds a slice of a log to the answer under way and takes over its release.
func (w *Writer) Slice(s log.Slice) error {
	size := s.SizeBytes
	switch {
	case s.Bytes != nil: // never much: to copy costs less than a vectored write
		w.grow(len(w.Buf) + size)
		w.Buf = append(w.Buf, s.Bytes...)
		s.Release()
		return nil
	case size <= copiedFileBytes, s.Lent() && size <= copiedLentBytes, !w.sender.usable():
		return w.readSlice(s)
	}
	w.pieces = append(w.pieces, piece{at: len(w.Buf), slice: s})
	w.outside += size
	w.pending += size
	return nil
}

func (w *Writer) readSlice(s log.Slice) error {
	defer s.Release()
	at := len(w.Buf)
	w.grow(at + s.SizeBytes)
	w.Buf = w.Buf[:at+s.SizeBytes]
	return s.ReadFull(w.Buf[at:])
}

// grow makes room for so many bytes, and for what comes behind them.
func (w *Writer) grow(size int) {
	if cap(w.Buf) >= size {
		return
	}
	if w.conn == nil {
		w.Buf = slices.Grow(w.Buf, size-len(w.Buf))
		return
	}
	larger := w.conn.server.slabs.get(size + 1<<minSlabShift)
	larger = larger[:copy(larger, w.Buf)]
	w.conn.server.slabs.put(w.Buf)
	w.Buf = larger
}

// End completes the answer under way.
func (w *Writer) End() {
	binary.BigEndian.PutUint32(w.Buf[w.begin:], uint32(len(w.Buf)-w.begin-4+w.outside))
	w.outside, w.open = 0, false
}

// discard takes back an answer that was begun and not ended.
func (w *Writer) discard() {
	if !w.open {
		return
	}
	for i := range w.pieces[w.first:] {
		w.pieces[w.first+i].slice.Release()
	}
	w.Buf, w.pieces = w.Buf[:w.begin], w.pieces[:w.first]
	w.pending -= w.outside
	w.open = false
}

// Pending returns how many bytes wait to be written.
func (w *Writer) Pending() int { return len(w.Buf) + w.pending }

// Park is to be called before a handler waits for what other clients do: it writes the answers so far and lets go of the
// read buffer if that holds nothing more, which ends the life of the request's Body.
func (w *Writer) Park() error { return w.conn.park() }

// Unpark ends what Park began.
func (w *Writer) Unpark() { w.conn.parked.Store(false) }

// Flush writes all complete answers to the socket.
func (w *Writer) Flush() error {
	if w.Pending() == 0 {
		return nil
	}
	err := w.flush()
	for i := range w.pieces {
		w.pieces[i].slice.Release()
		w.pieces[i] = piece{}
	}
	w.conn.server.metrics.bytesOut.Add(float64(w.Pending()))
	w.pieces, w.Buf, w.pending = w.pieces[:0], w.Buf[:0], 0
	return err
}

// flushNow writes all answers if they are small and the socket takes them at once. What is left is left to Flush.
func (w *Writer) flushNow() bool {
	if len(w.pieces) > 0 || len(w.Buf) > maxFlushNowBytes || !w.direct.usable() {
		return false
	}
	written := w.direct.writeNow(w.Buf)
	w.conn.server.metrics.bytesOut.Add(float64(written))
	w.Buf = w.Buf[:copy(w.Buf, w.Buf[written:])]
	return len(w.Buf) == 0
}

func (w *Writer) flush() error {
	if len(w.pieces) == 0 {
		return w.writeBytes(w.Buf)
	}
	w.sender.cork(true)
	defer w.sender.cork(false)
	at := 0
	for i := range w.pieces {
		p := &w.pieces[i]
		if err := w.writeBytes(w.Buf[at:p.at]); err != nil {
			return err
		}
		at = p.at
		if err := w.sendFile(&p.slice); err != nil {
			return err
		}
	}
	return w.writeBytes(w.Buf[at:])
}

func (w *Writer) writeBytes(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if w.direct.usable() {
		return w.direct.write(p)
	}
	_, err := w.conn.net.Write(p)
	return err
}

func (w *Writer) sendFile(s *log.Slice) error {
	err := w.sender.send(s.File, s.Position, s.SizeBytes)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	n, err := io.Copy(w.conn.net, io.NewSectionReader(s.File, s.Position, int64(s.SizeBytes))) // a file without a descriptor
	if err == nil && n < int64(s.SizeBytes) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// rest gives up the memory of a writer that has nothing to write.
func (w *Writer) rest() {
	if cap(w.Buf) > 0 && len(w.Buf) == 0 {
		w.conn.server.slabs.put(w.Buf)
		w.Buf = nil
	}
	if cap(w.pieces) > 64 {
		w.pieces = nil
	}
}

// close releases what was never written.
func (w *Writer) close() {
	for i := range w.pieces {
		w.pieces[i].slice.Release()
	}
	w.pieces, w.pending, w.Buf = nil, 0, nil
}
