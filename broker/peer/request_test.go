package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// broker is the other end of Kafka connections: it answers requests in the order in which they come, by a rule of the test.
type broker struct {
	versions map[int16]int16
	answer   func(req kmsg.Request, conn net.Conn) kmsg.Response // nil: no answer

	mu    sync.Mutex
	conns []net.Conn
}

func (b *broker) serve(t testing.TB, l net.Listener) {
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns = append(b.conns, conn)
			b.mu.Unlock()
			running.Go(func() {
				defer conn.Close()
				for b.one(conn) == nil {
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		b.cut()
		running.Wait()
	})
}

// cut ends every connection.
func (b *broker) cut() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close()
	}
	n := len(b.conns)
	b.conns = nil
	return n
}

func (b *broker) one(conn net.Conn) error {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return err
	}
	p := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(conn, p); err != nil {
		return err
	}
	req := kmsg.RequestForKey(int16(binary.BigEndian.Uint16(p)))
	req.SetVersion(int16(binary.BigEndian.Uint16(p[2:])))
	body := p[10+int(binary.BigEndian.Uint16(p[8:])):]
	if req.IsFlexible() {
		body = body[1:]
	}
	if err := req.ReadFrom(body); err != nil {
		return err
	}
	resp := b.respond(req, conn)
	if resp == nil {
		return nil
	}
	out := append([]byte{0, 0, 0, 0}, p[4:8]...)
	if resp.IsFlexible() && resp.Key() != 18 {
		out = append(out, 1, 5, 2, 'x', 'y') // a tag that nobody knows
	}
	out = resp.AppendTo(out)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	_, err := conn.Write(out)
	return err
}

func (b *broker) respond(req kmsg.Request, conn net.Conn) kmsg.Response {
	if req.Key() != 18 {
		return b.answer(req, conn)
	}
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	for key, v := range b.versions {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MaxVersion: v})
	}
	return resp
}

// echo answers metadata requests by the name they asked for.
func echo(req kmsg.Request, _ net.Conn) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ClusterID = kmsg.StringPtr(*req.(*kmsg.MetadataRequest).Topics[0].Topic)
	return resp
}

func ask(name string) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	return req
}

// pool starts a broker with node id 2 and a pool that finds it.
func pool(t testing.TB, b *broker) (*Pool, *Mux) {
	t.Helper()
	if b.versions == nil {
		b.versions = map[int16]int16{3: 12}
	}
	m, address := serve(t, config(identity(2), ""))
	b.serve(t, m.Kafka())
	p := NewPool(config(identity(1), ""), func(node int32) (string, [16]byte, bool) {
		return address, identity(2).DirectoryID, node == 2
	})
	t.Cleanup(func() { _ = p.Close() })
	return p, m
}

func TestPipelinedRequestsGetTheirOwnAnswers(t *testing.T) {
	b := &broker{answer: echo}
	p, _ := pool(t, b)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			name := "t" + strconv.Itoa(i)
			resp, err := p.Do(t.Context(), 2, ask(name))
			if err != nil || *resp.(*kmsg.MetadataResponse).ClusterID != name || resp.GetVersion() != 12 {
				t.Errorf("%s: %+v, %v", name, resp, err)
			}
		})
	}
	wg.Wait()
	if n := b.cut(); n != 1 {
		t.Errorf("%d connections were used, want 1", n)
	}
}

func TestRequestWrittenAndNotAnsweredIsUnknown(t *testing.T) {
	b := &broker{answer: func(req kmsg.Request, conn net.Conn) kmsg.Response {
		if *req.(*kmsg.MetadataRequest).Topics[0].Topic == "die" {
			_ = conn.Close()
			return nil
		}
		return echo(req, conn)
	}}
	p, _ := pool(t, b)
	if _, err := p.Do(t.Context(), 2, ask("die")); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("shared: %v, want ErrOutcomeUnknown", err)
	}
	if _, err := p.Do(t.Context(), 2, ask("a")); err != nil {
		t.Errorf("the pool did not dial again: %v", err)
	}
	conn, err := p.Dial(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Do(t.Context(), ask("die")); !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("own: %v, want ErrOutcomeUnknown", err)
	}
	if _, err := conn.Do(t.Context(), ask("a")); err == nil || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("on a connection that has failed: %v", err)
	}
}

func TestBrokerThatRestartedIsFoundAgain(t *testing.T) {
	b := &broker{answer: echo}
	p, _ := pool(t, b)
	for range 5 {
		for { // an end may show itself only after the request was written
			_, err := p.Do(t.Context(), 2, ask("a"))
			if err == nil {
				break
			} else if !errors.Is(err, ErrOutcomeUnknown) {
				t.Fatal(err)
			}
		}
		b.cut()
	}
}

func TestCallerThatGivesUpDisturbsNobody(t *testing.T) {
	held := make(chan struct{})
	b := &broker{answer: func(req kmsg.Request, conn net.Conn) kmsg.Response {
		if *req.(*kmsg.MetadataRequest).Topics[0].Topic == "slow" {
			<-held
		}
		return echo(req, conn)
	}}
	p, _ := pool(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := p.Do(ctx, 2, ask("slow"))
		gone <- err
	}()
	next := make(chan error)
	go func() {
		resp, err := p.Do(t.Context(), 2, ask("next"))
		if err == nil && *resp.(*kmsg.MetadataResponse).ClusterID != "next" {
			err = fmt.Errorf("got %+v", resp)
		}
		next <- err
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	close(held)
	if err := <-next; err != nil {
		t.Error(err)
	}
	if n := b.cut(); n != 1 {
		t.Errorf("%d connections were used, want 1", n)
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	held := make(chan struct{})
	b := &broker{answer: func(req kmsg.Request, conn net.Conn) kmsg.Response { <-held; return echo(req, conn) }}
	p, _ := pool(t, b)
	var wg sync.WaitGroup
	for range maxInFlight {
		wg.Go(func() { _, _ = p.Do(t.Context(), 2, ask("a")) })
	}
	for {
		n, err := p.node(2)
		if err != nil {
			t.Fatal(err)
		}
		<-n.turn
		full := n.shared != nil && len(n.shared.slots) == maxInFlight && len(n.shared.waiting) >= maxInFlight-1
		n.turn <- struct{}{}
		if full {
			break
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := p.Do(ctx, 2, ask("b")); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("one more than the limit: %v, want that nothing was sent", err)
	}
	close(held)
	wg.Wait()
}

func TestOwnConnectionReadsIntoTheBuffer(t *testing.T) {
	b := &broker{answer: echo}
	p, _ := pool(t, b)
	conn, err := p.Dial(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	buf := make([]byte, 0, 1<<20)
	long := strings.Repeat("x", 200_000)
	for _, name := range []string{"a", long, "b"} {
		resp := kmsg.NewPtrMetadataResponse()
		back, err := conn.DoInto(ask(name), resp, buf, time.Minute)
		if err != nil || *resp.ClusterID != name || &back[0] != &buf[:1][0] {
			t.Errorf("%d bytes: %v, same buffer %v", len(name), err, &back[0] == &buf[:1][0])
		}
	}
	small, err := conn.DoInto(ask(long), kmsg.NewPtrMetadataResponse(), make([]byte, 0, 8), time.Minute)
	if err != nil || len(small) < len(long) {
		t.Errorf("a small buffer grew to %d, %v", len(small), err)
	}
	if _, err := conn.DoInto(ask("a"), kmsg.NewPtrMetadataResponse(), nil, 2*patienceSlack+time.Minute); err != nil {
		t.Errorf("more patience: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := conn.Do(ctx, ask("a")); !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("cancelled before: %v", err)
	}
	if _, err := conn.Do(t.Context(), ask("a")); err != nil {
		t.Errorf("a request that was not sent spoiled the connection: %v", err)
	}
}

func TestOwnConnectionEndsWithItsContext(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	b := &broker{answer: func(kmsg.Request, net.Conn) kmsg.Response { <-held; return nil }}
	p, _ := pool(t, b)
	conn, err := p.Dial(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := conn.Do(ctx, ask("a")); !errors.Is(err, ErrOutcomeUnknown) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestVersionIsTheHighestThatBothKnow(t *testing.T) {
	b := &broker{answer: echo, versions: map[int16]int16{3: 9}}
	p, _ := pool(t, b)
	resp, err := p.Do(t.Context(), 2, ask("a"))
	if err != nil || resp.GetVersion() != 9 {
		t.Errorf("version %v, %v", resp, err)
	}
	if _, err := p.Do(t.Context(), 2, kmsg.NewPtrAlterPartitionRequest()); !errors.Is(err, kerr.UnsupportedVersion) {
		t.Errorf("a request that the other does not know: %v", err)
	}
	if _, err := p.Do(t.Context(), 3, ask("a")); !errors.Is(err, ErrUnknownNode) {
		t.Errorf("a node that is not known: %v", err)
	}
}

func TestAnswersAreNotBelieved(t *testing.T) {
	for name, raw := range map[string][]byte{
		"huge": {0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 2}, "negative": {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2},
		"another correlation id": {0, 0, 0, 5, 0, 0, 0, 9, 0}, "cut off": {0, 0, 0, 5, 0, 0, 0, 2, 0x80},
		"twice": {0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := &broker{answer: func(_ kmsg.Request, conn net.Conn) kmsg.Response {
				_, _ = conn.Write(raw)
				_ = conn.(*net.TCPConn).CloseWrite()
				return nil
			}}
			p, _ := pool(t, b)
			if _, err := p.Do(t.Context(), 2, ask("a")); err == nil {
				t.Error("it was taken for an answer")
			}
		})
	}
}

func TestClosedPoolEndsWhatIsUnderWay(t *testing.T) {
	held := make(chan struct{})
	defer close(held)
	b := &broker{answer: func(kmsg.Request, net.Conn) kmsg.Response { <-held; return nil }}
	p, _ := pool(t, b)
	done := make(chan error)
	go func() {
		_, err := p.Do(t.Context(), 2, ask("a"))
		done <- err
	}()
	time.Sleep(20 * time.Millisecond)
	_ = p.Close()
	if err := <-done; err == nil {
		t.Error("a request ended well in a closed pool")
	}
	if _, err := p.Do(t.Context(), 2, ask("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := p.Dial(t.Context(), 2); err == nil {
		t.Error("a closed pool dialled")
	}
}

func TestOwnConnectionLosesPatience(t *testing.T) {
	held := make(chan struct{})
	b := &broker{answer: func(kmsg.Request, net.Conn) kmsg.Response { <-held; return nil }}
	p, _ := pool(t, b)
	t.Cleanup(func() { close(held) })
	conn, err := p.Dial(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.deadline = time.Now().Add(50 * time.Millisecond) // that of a request before this one
	if err := conn.exchange.conn.SetDeadline(conn.deadline); err != nil {
		t.Fatal(err)
	}
	_, err = conn.DoInto(ask("a"), kmsg.NewPtrMetadataResponse(), nil, time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("no answer came: %v", err)
	}
	if _, err := conn.DoInto(ask("a"), kmsg.NewPtrMetadataResponse(), nil, time.Minute); err == nil {
		t.Error("the connection is used after it failed: where in its answers it stands is not known")
	}
}
