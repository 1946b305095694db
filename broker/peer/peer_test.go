package peer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func identity(node int32) Identity {
	return Identity{ClusterID: "cluster", NodeID: node, DirectoryID: [16]byte{byte(node), 7}}
}

func config(id Identity, token string) Config {
	return Config{
		Identity: func() Identity { return id }, Token: token, HandshakeTimeout: 2 * time.Second,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// serve starts the inter-broker listener of a node on loopback.
func serve(t testing.TB, cfg Config) (m *Mux, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m = NewMux(l, cfg)
	served := make(chan error, 1)
	go func() { served <- m.Serve() }()
	t.Cleanup(func() {
		if err := errors.Join(m.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return m, l.Addr().String()
}

func accept(t testing.TB, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestConnectionReachesItsPurposeBareAndUnread(t *testing.T) {
	m, address := serve(t, config(identity(2), "secret"))
	for purpose, l := range map[Purpose]net.Listener{PurposeKafka: m.Kafka(), PurposeRaft: m.Raft(), PurposeJoin: m.Join()} {
		conn, other, err := DialPurpose(t.Context(), config(identity(1), "secret"), purpose, identity(2), address)
		if err != nil {
			t.Fatal(err)
		}
		if other != identity(2) {
			t.Errorf("%s: the other end is %+v", purpose, other)
		}
		if _, err := conn.Write([]byte("first bytes")); err != nil {
			t.Fatal(err)
		}
		got := accept(t, l)
		if _, ok := got.(*net.TCPConn); !ok {
			t.Errorf("%s: got a %T", purpose, got)
		}
		if id, ok := m.Peer(got.RemoteAddr()); !ok || id != identity(1) {
			t.Errorf("%s: the acceptor takes it for %+v", purpose, id)
		}
		p := make([]byte, 11)
		if _, err := io.ReadFull(got, p); err != nil || string(p) != "first bytes" {
			t.Errorf("%s: read %q, %v", purpose, p, err)
		}
		_ = conn.Close()
	}
}

func TestHandshakeRefuses(t *testing.T) {
	m, address := serve(t, config(identity(2), "secret"))
	otherCluster, noCluster, otherDirectory := identity(1), identity(1), identity(2)
	otherCluster.ClusterID, noCluster.ClusterID, otherDirectory.DirectoryID = "another", "", [16]byte{9}
	tests := map[string]struct {
		from    Identity
		token   string
		purpose Purpose
		to      Identity
		want    string // "": accepted
	}{
		"another cluster":                     {otherCluster, "secret", PurposeJoin, identity(2), "this is cluster cluster, not another"},
		"another node":                        {identity(1), "secret", PurposeRaft, identity(3), "this is node 2, not 3"},
		"another directory":                   {identity(1), "secret", PurposeRaft, otherDirectory, "node 2 has another directory now"},
		"another token":                       {identity(1), "guess", PurposeKafka, identity(2), "the token is not that of this cluster"},
		"no cluster to the quorum":            {noCluster, "secret", PurposeRaft, identity(2), "does not belong to a cluster yet"},
		"a purpose that is not known":         {identity(1), "secret", 9, identity(2), "purpose 9 is not known here"},
		"no cluster, but only a question":     {noCluster, "secret", PurposeJoin, Identity{NodeID: -1}, ""},
		"whoever answers there":               {identity(1), "secret", PurposeKafka, Identity{NodeID: -1}, ""},
		"the node, in whatever directory":     {identity(1), "secret", PurposeKafka, Identity{NodeID: 2}, ""},
		"another token and another cluster":   {otherCluster, "guess", PurposeKafka, identity(2), "the token is not that of this cluster"},
		"its own node, asked by another name": {identity(2), "secret", PurposeKafka, identity(2), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn, _, err := DialPurpose(t.Context(), config(tt.from, tt.token), tt.purpose, tt.to, address)
			if err == nil {
				_ = conn.Close()
				_ = accept(t, m.purposes[tt.purpose])
			}
			if tt.want == "" && err != nil {
				t.Error(err)
			} else if tt.want != "" && (!errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// impostor answers a handshake without knowing the token, or as somebody else.
func TestDialerDoesNotBelieveWhoDoesNotKnowTheToken(t *testing.T) {
	tests := map[string]struct {
		self  Identity
		token string
		want  string
	}{
		"token":   {identity(2), "guess", "does not know this cluster's token"},
		"cluster": {Identity{ClusterID: "x", NodeID: 2, DirectoryID: identity(2).DirectoryID}, "secret", "belongs to cluster x"},
		"node":    {identity(3), "secret", "it is node 3, not 2"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			go func() {
				offer := newOffer()
				_, _ = theirs.Write(offer)
				h, _, err := readHello(theirs, tt.token, offer[len(magic)+1:offerBytes])
				if err == nil {
					_, _ = theirs.Write(appendWelcome(nil, tt.self, tt.token, h.nonce[:]))
				}
			}()
			_, err := greet(ours, PurposeKafka, identity(1), identity(2), "secret")
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// Whoever is told of another cluster may end at that (metadata: a disk of another cluster is refused at start), so nothing else may be
// told so: neither an acceptor that does not understand a hello, nor one that is another node.
func TestOnlyAnotherClusterIsToldAsOne(t *testing.T) {
	other := identity(1)
	other.ClusterID = "another"
	for name, tt := range map[string]struct {
		hello hello
		want  bool
	}{
		"another cluster":   {hello{purpose: PurposeKafka, from: other, to: identity(2)}, true},
		"a later purpose":   {hello{purpose: PurposeLifeline + 1, from: identity(1), to: identity(2)}, false},
		"another node":      {hello{purpose: PurposeKafka, from: identity(1), to: identity(3)}, false},
		"no cluster at all": {hello{purpose: PurposeKafka, from: Identity{NodeID: 1}, to: identity(2)}, false},
	} {
		code, reason := judge(identity(2), tt.hello, true)
		if code == 0 {
			t.Errorf("%s is not refused", name)
		}
		_, err := readAnswer(bytes.NewReader(appendRefusal(nil, code, reason)), "secret", nil)
		var cluster interface{ OtherCluster() bool }
		if got := errors.As(err, &cluster); got != tt.want || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s is told as %v, and as another cluster: %v", name, err, got)
		}
	}
}

func TestGarbageSlowAndSilentAreClosedInTime(t *testing.T) {
	cfg := config(identity(2), "secret")
	cfg.HandshakeTimeout = 100 * time.Millisecond
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	m, address := serve(t, cfg)
	for name, say := range map[string]string{
		"a request of HTTP": "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 500), "nothing": "", "a long cluster id": "\x01\xff" + strings.Repeat("x", 300),
		"the start of a hello": "\x01\x07clus",
	} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		answer, err := io.ReadAll(conn)
		if errors.Is(err, context.DeadlineExceeded) || len(answer) > offerBytes+2+maxReasonBytes {
			t.Errorf("%s: %d bytes of answer, %v", name, len(answer), err)
		}
		_ = conn.Close()
	}
	if n := testutil.ToFloat64(m.refused); n != 4 {
		t.Errorf("%v were counted as refused, want 4", n)
	}
	// somebody who speaks the protocol is served all the same
	conn, _, err := DialPurpose(t.Context(), config(identity(1), "secret"), PurposeJoin, identity(2), address)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	accept(t, m.Join())
}

func TestHandshakesUnderWayAreBounded(t *testing.T) {
	m, address := serve(t, config(identity(2), "secret"))
	var conns []net.Conn
	for range maxPendingHandshakes + 20 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	closed := 0
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(conn, make([]byte, offerBytes)); err != nil {
			closed++
		}
	}
	if closed != 20 || testutil.ToFloat64(m.refused) != 20 {
		t.Errorf("%d of %d connections were closed at once, want 20", closed, len(conns))
	}
	for _, conn := range conns {
		_ = conn.Close()
	}
}

func TestDialEndsWhenTheOtherEndSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := config(identity(1), "")
	cfg.HandshakeTimeout = 50 * time.Millisecond
	if _, _, err := DialPurpose(t.Context(), cfg, PurposeRaft, identity(2), l.Addr().String()); err == nil {
		t.Error("a handshake with nobody succeeded")
	}
	cfg.HandshakeTimeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, _, err := DialPurpose(ctx, cfg, PurposeRaft, identity(2), l.Addr().String()); err == nil {
		t.Error("a handshake with nobody succeeded")
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, _, err := DialPurpose(ctx, cfg, PurposeRaft, identity(2), l.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled handshake: %v", err)
	}
}

func TestAlive(t *testing.T) {
	_, address := serve(t, config(identity(2), ""))
	if Alive(t.Context(), address) {
		t.Error("a listener counts as gone")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if !Alive(t.Context(), l.Addr().String()) {
		t.Error("a closed port does not count as gone")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if Alive(ctx, l.Addr().String()) {
		t.Error("a dial that was not made counts as refused")
	}
}

// mustHail hails until the answer is the one wanted: on a machine that is busy a dial may take too long.
func mustHail(t *testing.T, address string, want error) {
	t.Helper()
	err := Hail(t.Context(), address)
	for end := time.Now().Add(time.Minute); !errors.Is(err, want); err = Hail(t.Context(), address) {
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().After(end) {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
}

// awaitGreeted waits until no handshake is under way.
func awaitGreeted(t *testing.T, m *Mux) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		m.mu.Lock()
		pending := len(m.pending)
		m.mu.Unlock()
		if pending == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d handshakes do not end", pending)
		}
	}
}

// The listener of a process that ends is the last that it closes: until then its kernel takes connections.
func TestHail(t *testing.T) {
	var logged bytes.Buffer
	cfg := config(identity(2), "")
	cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil))
	m, address := serve(t, cfg)
	for range 50 {
		mustHail(t, address, nil)
	}
	awaitGreeted(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	if logged.Len() > 0 || testutil.ToFloat64(m.refused) != 0 {
		t.Errorf("a hail counts as a refused connection: %v, %s", testutil.ToFloat64(m.refused), &logged)
	}
	mustHail(t, address, ErrAbsent)
	ending, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = ending.Close() })
	mustHail(t, ending.Addr().String(), ErrAbsent)
}

// A process that is busy with handshakes is there: to close connections without a word would be to say that it is not.
func TestHailOfWhoIsTooBusyToGreet(t *testing.T) {
	cfg := config(identity(2), "")
	cfg.HandshakeTimeout = time.Minute
	m, address := serve(t, cfg)
	for range maxPendingHandshakes {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for end := time.Now().Add(time.Minute); testutil.ToFloat64(m.refused) == 0; {
		mustHail(t, address, nil)
		if time.Now().After(end) {
			t.Fatal("there is always room for another handshake")
		}
	}
	mustHail(t, address, nil)
}

// Of a process that is stopped nobody knows anything.
func TestHailOfWhoSaysNothing(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := Hail(ctx, silent.Addr().String()); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("got %v", err)
	}
	<-ctx.Done()
	if err := silent.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Hail(ctx, silent.Addr().String()); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("a dial that was not made: %v", err)
	}
}

func FuzzHandshake(f *testing.F) {
	nonce := make([]byte, nonceBytes)
	h := hello{purpose: PurposeRaft, from: identity(1), to: identity(2)}
	signed := h.appendSigned(nil)
	f.Add(append(signed, sign("secret", nonce, signed)...))
	f.Add(appendWelcome(nil, identity(2), "secret", nonce))
	f.Add(appendRefusal(nil, refusedToken, "no"))
	f.Add([]byte("\x01\xff"))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := strings.NewReader(string(p))
		got, proven, err := readHello(r, "secret", nonce)
		if err == nil {
			back := got.appendSigned(nil)
			if string(back) != string(p[:len(back)]) || len(p)-r.Len() != len(back)+32 {
				t.Errorf("%x was read as %+v, which is %x", p, got, back)
			}
			_, _ = judge(identity(2), got, proven)
		}
		_, _ = readAnswer(strings.NewReader(string(p)), "secret", nonce)
		_, _ = skipTags(p)
	})
}
