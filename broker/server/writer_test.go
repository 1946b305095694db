package server

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/socket"
	"github.com/millrace-io/millrace/broker/vfs"
)

// sliceSession answers a request for a range of a file with that range, and with as much memory before it.
type sliceSession struct {
	file    vfs.File
	content []byte
}

func (s *sliceSession) Handle(req *Request, w *Writer) error {
	position, size := int(binary.BigEndian.Uint32(req.Body)), int(binary.BigEndian.Uint32(req.Body[4:]))
	w.Begin(req.CorrelationID, false)
	w.Buf = append(w.Buf, 'b')
	if err := w.Slice(log.Slice{Bytes: s.content[:size], SizeBytes: size}); err != nil {
		return err
	}
	w.Buf = append(w.Buf, 'm')
	if err := w.Slice(log.Slice{File: s.file, Position: int64(position), SizeBytes: size}); err != nil {
		return err
	}
	w.Buf = append(w.Buf, 'e')
	w.End()
	return nil
}

func (s *sliceSession) Settle(*Writer) error { return nil }
func (s *sliceSession) Resume(*Writer) error { panic("nothing was suspended") }
func (s *sliceSession) Signalled() bool      { return false }
func (s *sliceSession) Close()               {}

// Slices of memory and files of every size come out whole and in order, with many connections on one file at once.
func TestSlicesOfFilesAndMemory(t *testing.T) {
	content := make([]byte, 6<<20)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range content {
		content[i] = byte(rng.Uint32())
	}
	for _, test := range []struct {
		name string
		fs   vfs.FS
		dir  string
	}{{"sendfile", vfs.OS(), t.TempDir()}, {"memory file", vfs.NewMemory(), "/"}} {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(test.dir, "file")
			if err := vfs.WriteFileAtomic(test.fs, name, content, 0o644); err != nil {
				t.Fatal(err)
			}
			file, err := test.fs.OpenFile(name, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			ts := start(t, func(c *Config) {
				c.NewSession = func(*Peer) Session { return &sliceSession{file: file, content: content} }
			})
			var clients sync.WaitGroup
			for seed := range uint64(4) {
				c := ts.dial()
				clients.Go(func() { readSlices(t, c, content, seed) })
			}
			clients.Wait()
		})
	}
}

func readSlices(t *testing.T, c net.Conn, content []byte, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 2))
	for range 10 {
		var ranges [][2]int
		for range 1 + rng.IntN(4) {
			size := rng.IntN(1 << rng.IntN(22))
			position := rng.IntN(len(content) - size + 1)
			ranges = append(ranges, [2]int{position, size})
			body := binary.BigEndian.AppendUint32(nil, uint32(position))
			if _, err := c.Write(frame(keyEcho, int32(size), binary.BigEndian.AppendUint32(body, uint32(size)))); err != nil {
				t.Error(err)
				return
			}
		}
		for _, r := range ranges {
			id, body, err := readAnswer(c)
			want := bytes.Join([][]byte{{'b'}, content[:r[1]], {'m'}, content[r[0] : r[0]+r[1]], {'e'}}, nil)
			if err != nil || id != int32(r[1]) || !bytes.Equal(body, want) {
				t.Errorf("range %v: id %d, %d bytes, %v", r, id, len(body), err)
				return
			}
		}
	}
}

// A client that does not read stops its own connection, and is closed when it has been idle for too long.
func TestClientThatDoesNotRead(t *testing.T) {
	ts := start(t, func(c *Config) { c.MaxIdle = 100 * time.Millisecond })
	c := ts.dial()
	body := make([]byte, 1<<20)
	go func() {
		for i := int32(0); ; i++ {
			if _, err := c.Write(frame(keyEcho, i, body)); err != nil {
				return
			}
		}
	}()
	select {
	case <-ts.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection still waits for its client to read")
	}
}

// A file that ends before its slice ends the connection; the answer cannot be taken back.
func TestFileShorterThanItsSlice(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := vfs.WriteFileAtomic(vfs.OS(), name, make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	file, err := vfs.OS().OpenFile(name, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	ts := start(t, func(c *Config) {
		c.NewSession = func(*Peer) Session { return &sliceSession{file: file, content: make([]byte, 1<<20)} }
	})
	for _, size := range []uint32{2000, 1 << 20} {
		c := ts.dial()
		c.Write(frame(keyEcho, 1, binary.BigEndian.AppendUint32(make([]byte, 4), size)))
		if _, _, err := readAnswer(c); err == nil {
			t.Fatalf("%d bytes of a file of 1000", size)
		}
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("still open: %v", err)
		}
	}
}

// Connections that are not TCP, as in simulations, work the same.
func TestConnectionThatIsNotTCP(t *testing.T) {
	client, far := net.Pipe()
	listener := &pipeListener{conns: make(chan net.Conn, 1), done: make(chan struct{})}
	listener.conns <- far
	start(t, func(c *Config) { c.Listener = listener })
	client.SetDeadline(time.Now().Add(10 * time.Second))
	defer client.Close()
	for i := range int32(20) {
		body := bytes.Repeat([]byte{byte(i)}, int(i)*10_000)
		go client.Write(frame(int16(i%2), i, body))
		if id, got, err := readAnswer(client); err != nil || id != i || !bytes.Equal(got, body) {
			t.Fatalf("%d %d %v", id, len(got), err)
		}
	}
}

type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// What a socket does not take at once is kept in order for the next write.
func TestWriteNowLeavesWhatTheSocketDoesNotTake(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sending, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer sending.Close()
	receiving, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer receiving.Close()
	w := newDescriptorWriter(socket.Raw(sending))
	var sent []byte
	for left := 0; left == 0; {
		p := make([]byte, 50_000)
		for i := range p {
			p[i] = byte((len(sent) + i) % 251)
		}
		sent = append(sent, p...)
		left = len(p) - w.writeNow(p)
		if left > 0 {
			p = p[len(p)-left:]
			go func() {
				if err := w.write(p); err != nil {
					t.Error(err)
				}
				sending.Close()
			}()
		}
	}
	got, err := io.ReadAll(receiving)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes of %d, %v", len(got), len(sent), err)
	}
}
