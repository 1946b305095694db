package api

import (
	"bytes"
	"encoding/binary"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawFrame makes a frame with any body.
func rawFrame(key, version int16, flexible bool, body []byte) []byte {
	b := make([]byte, 4, len(body)+32)
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint16(b, 0)
	if flexible {
		b = append(b, 0)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Whatever the body, a request of any API and version is answered or its connection is closed: no handler panics, and
// the broker goes on.
func TestBrokenBodiesOfEveryAPI(t *testing.T) {
	logged := &logBuffer{}
	services := testServices(t, nil)
	services.Logger = slog.New(slog.NewTextHandler(logged, nil))
	address := testServer(t, services)
	rng := rand.New(rand.NewPCG(7, 7))
	for _, row := range Table() {
		for version := row.MinVersion; version <= row.MaxVersion; version++ {
			request := kmsg.RequestForKey(row.Key)
			request.SetVersion(version)
			whole := request.AppendTo(nil)
			bodies := [][]byte{nil, bytes.Repeat([]byte{0xff}, 64), bytes.Repeat([]byte{0x7f}, 64), bytes.Repeat([]byte{1}, 64), make([]byte, 300)}
			for range 6 {
				b := make([]byte, rng.IntN(120))
				for i := range b {
					b[i] = byte(rng.Uint32()) >> rng.IntN(8)
				}
				bodies = append(bodies, b)
			}
			if len(whole) > 0 {
				mutant := bytes.Clone(whole)
				mutant[rng.IntN(len(mutant))] ^= 1 << rng.IntN(8)
				bodies = append(bodies, whole[:rng.IntN(len(whole))], mutant)
			}
			for _, body := range bodies {
				answerOrClose(t, address, rawFrame(row.Key, version, request.IsFlexible(), body), row.Waits)
			}
		}
	}
	if text := logged.text(); strings.Contains(text, "panic") {
		t.Errorf("a handler panicked:\n%.3000s", text)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{t: t, conn: conn}
	if c.request(kmsg.NewPtrApiVersionsRequest()).(*kmsg.ApiVersionsResponse).ErrorCode != 0 {
		t.Fatal("the broker does not answer any more")
	}
}

// answerOrClose sends a frame and waits for an answer or the end; what waits for other clients may say nothing for long.
func answerOrClose(t *testing.T, address string, frame []byte, waits bool) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	patience := 5 * time.Second
	key := kmsg.Key(binary.BigEndian.Uint16(frame[4:]))
	if waits || key == kmsg.Fetch || key == kmsg.Produce { // a fetch may ask to wait, a produce for no answer
		patience = 5 * time.Millisecond
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() && patience > time.Second {
			t.Errorf("no answer to %s version %d: % x", kmsg.NameForKey(int16(key)), int16(binary.BigEndian.Uint16(frame[6:])), frame[14:])
		}
	}
}

// Array and tag bombs: a small frame that claims much is refused before anything is allocated for it.
func TestBombsCostLittle(t *testing.T) {
	services := testServices(t, nil)
	address := testServer(t, services)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, row := range Table() {
		request := kmsg.RequestForKey(row.Key)
		request.SetVersion(row.MaxVersion)
		for _, bomb := range [][]byte{
			bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0x07}, 20), // compact lengths of 2^31-1
			bytes.Repeat([]byte{0x7f, 0xff, 0xff, 0xff}, 20),
			append(make([]byte, 20), 0xff, 0xff, 0xff, 0xff, 0x07),
		} {
			answerOrClose(t, address, rawFrame(row.Key, row.MaxVersion, request.IsFlexible(), bomb), true)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 200<<20 {
		t.Errorf("%d MiB were allocated for %d small frames", grown>>20, 3*len(Table()))
	}
}
