package raft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	hraft "github.com/hashicorp/raft"
)

// hub is a network in memory: members dial one another by address.
type hub struct {
	mu    sync.Mutex // guards the rest
	ports map[string]*port
	cut   map[string]bool // addresses that reach nobody and are reached by nobody
	conns map[net.Conn][2]string
	valve map[string]*valve // by the address of who dials
}

// port is the streams of one member.
type port struct {
	hub     *hub
	address string
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newHub() *hub {
	return &hub{ports: map[string]*port{}, cut: map[string]bool{}, conns: map[net.Conn][2]string{}, valve: map[string]*valve{}}
}

func (h *hub) open(address string) *port {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := &port{hub: h, address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
	h.ports[address] = p
	return p
}

// isolate cuts a member off, or lets it back. Its port does not refuse: it is silent.
func (h *hub) isolate(address string, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut[address] = cut
	for conn, ends := range h.conns {
		if ends[0] == address || ends[1] == address {
			_ = conn.Close()
			delete(h.conns, conn)
		}
	}
}

var errNetwork = errors.New("nobody answers")

func (p *port) DialRaft(ctx context.Context, _ int32, _ [16]byte, address string) (net.Conn, error) {
	p.hub.mu.Lock()
	to := p.hub.ports[address]
	cut := p.hub.cut[p.address] || p.hub.cut[address]
	p.hub.mu.Unlock()
	if cut || to == nil {
		<-ctx.Done() // as packets that are dropped
		return nil, errNetwork
	}
	ours, theirs := net.Pipe()
	select {
	case to.conns <- theirs:
	case <-to.closed:
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	p.hub.conns[ours] = [2]string{p.address, address}
	return throttled{ours, p.hub, p.address}, nil
}

func (p *port) Raft() net.Listener { return p }
func (p *port) Addr() net.Addr     { return layerAddr(p.address) }

func (p *port) Gone(_ context.Context, address string) bool {
	p.hub.mu.Lock()
	defer p.hub.mu.Unlock()
	to := p.hub.ports[address]
	if to == nil || p.hub.cut[p.address] || p.hub.cut[address] {
		return false
	}
	select {
	case <-to.closed:
		return true
	default:
		return false
	}
}

func (p *port) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *port) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// company is several members over a hub.
type company struct {
	hub     *hub
	quorums []*Quorum
	tapes   []*tape
}

func address(i int) string { return fmt.Sprintf("node-%d", i+1) }

// open makes n voters; the caller may change their stores before begin.
func openCompany(t *testing.T, n int) *company {
	t.Helper()
	c := &company{hub: newHub()}
	for i := range n {
		m := new(tape)
		q, err := Open(Config{
			NodeID: int32(i + 1), InMemory: true, Logger: slog.New(slog.DiscardHandler), Streams: c.hub.open(address(i)), Address: address(i),
			Bootstrap: func(string) []byte { return []byte("begin") },
		}, m)
		if err != nil {
			t.Fatal(err)
		}
		c.quorums, c.tapes = append(c.quorums, q), append(c.tapes, m)
	}
	return c
}

func (c *company) begin(t *testing.T) {
	t.Helper()
	var voters []Member
	for _, q := range c.quorums {
		voters = append(voters, q.Self())
	}
	for i, q := range c.quorums {
		var err error
		if i == 0 {
			err = q.Found(voters)
		} else {
			err = q.Join(c.quorums[0].ClusterID())
		}
		if err == nil {
			err = q.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (c *company) close(t *testing.T) {
	t.Helper()
	for _, q := range c.quorums {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}
}

// leader waits for a leader among some members.
func (c *company) leader(t *testing.T, among ...int) int {
	t.Helper()
	for range 60_000 {
		for _, i := range among {
			if c.quorums[i].Leads() {
				return i
			}
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("nobody leads after a minute")
	return -1
}

func (c *company) others(i int) (list []int) {
	for j := range c.quorums {
		if j != i {
			list = append(list, j)
		}
	}
	return list
}

// propose proposes until it is acknowledged by whoever leads.
func (c *company) propose(t *testing.T, entry string, among ...int) {
	t.Helper()
	for range 1000 {
		if _, _, err := c.quorums[c.leader(t, among...)].Propose([]byte(entry)); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("%s was never acknowledged", entry)
}

func TestSilentLeaderIsReplacedAndAcknowledgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCompany(t, 3)
		c.begin(t)
		defer c.close(t)
		for round := range 5 {
			old := c.leader(t, 0, 1, 2)
			c.propose(t, fmt.Sprint("before", round), 0, 1, 2)
			c.hub.isolate(address(old), true)
			if _, _, err := c.quorums[old].Propose([]byte("lost")); err == nil {
				t.Error("a leader without a majority acknowledged")
			}
			c.propose(t, fmt.Sprint("after", round), c.others(old)...)
			c.hub.isolate(address(old), false)
			time.Sleep(5 * time.Second)
			if got, want := c.tapes[old].text(), c.tapes[c.leader(t, 0, 1, 2)].text(); got != want {
				t.Errorf("the one that was cut off knows %q, want %q", got, want)
			}
		}
	})
}

// What is committed is told to followers at once: none of them has to wait for the next entry or tick.
func TestFollowersLearnOfCommitsWithoutATick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCompany(t, 3)
		c.begin(t)
		defer c.close(t)
		leader := c.leader(t, 0, 1, 2)
		time.Sleep(3 * time.Second)
		for i := range 20 {
			if _, _, err := c.quorums[leader].Propose([]byte(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond) // of virtual time, which passes when nobody has anything left to do
			for j := range c.tapes {
				if got, want := c.tapes[j].text(), c.tapes[leader].text(); got != want {
					t.Fatalf("a millisecond later member %d knows %q, the leader %q", j, got, want)
				}
			}
		}
	})
}

func TestStorageErrorEndsAMemberForGood(t *testing.T) {
	for name, victim := range map[string]func(leader int) int{
		"leader": func(l int) int { return l }, "follower": func(l int) int { return (l + 1) % 3 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCompany(t, 3)
				var disks []*failingLog
				for _, q := range c.quorums {
					begin := q.stores.begin
					disk := &failingLog{LogStore: q.stores.logs, err: syscall.EIO}
					disk.left.Store(1 << 30)
					disks = append(disks, disk)
					q.stores.begin = func(b beginning) error {
						err := begin(b)
						q.stores.logs = &latchedLog{latch: q.latch, inner: disk}
						q.stores.stable = &latchedStable{latch: q.latch, inner: q.stores.stable}
						return err
					}
				}
				c.begin(t)
				defer c.close(t)
				leader := c.leader(t, 0, 1, 2)
				c.propose(t, "a", 0, 1, 2)
				broken := victim(leader)
				disks[broken].left.Store(0)
				c.propose(t, "b", 0, 1, 2)
				<-c.quorums[broken].Failed()
				disks[broken].left.Store(1 << 30) // the disk works again; the latch must not care
				for i := range 10 {
					time.Sleep(time.Second)
					c.propose(t, fmt.Sprint("c", i), c.others(broken)...)
				}
				if q := c.quorums[broken]; q.Leads() || !errors.Is(q.Err(), syscall.EIO) {
					t.Errorf("the broken member leads: %v, error %v", q.Leads(), q.Err())
				}
				if _, _, err := c.quorums[broken].Propose([]byte("x")); err == nil {
					t.Error("the broken member acknowledged")
				}
				// with another member away, the broken one must not make a majority
				rest := c.others(broken)
				c.hub.isolate(address(rest[0]), true)
				time.Sleep(10 * time.Second)
				if c.quorums[rest[0]].Leads() || c.quorums[rest[1]].Leads() {
					t.Error("a member whose storage has failed gave its vote or an acknowledgement")
				}
			})
		})
	}
}

func TestEndOfTheLeaderCostsOneElectionAndNoTimeout(t *testing.T) {
	for name, end := range map[string]func(*company, int){
		"stopped": func(c *company, i int) {
			if err := c.quorums[i].Close(); err != nil {
				t.Error(err)
			}
		},
		"killed": func(c *company, i int) {
			c.quorums[i].latch.fail(errors.New("killed")) // it leaves without a word, and its port is closed
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := openCompany(t, 3)
				c.begin(t)
				old := c.leader(t, 0, 1, 2)
				c.propose(t, "a", 0, 1, 2)
				time.Sleep(time.Second)
				term := c.quorums[old].State().Term
				began := time.Now()
				end(c, old)
				heir := c.leader(t, c.others(old)...)
				if took, elections := time.Since(began), c.quorums[heir].State().Term-term; took > 300*time.Millisecond || elections != 1 {
					t.Errorf("it took %v and %d elections", took, elections)
				}
				c.propose(t, "b", heir)
				for i, q := range c.quorums {
					if i != old || name == "killed" {
						if err := q.Close(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		})
	}
}

func TestMembersTellTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openCompany(t, 3)
		c.begin(t)
		defer c.close(t)
		leader := c.leader(t, 0, 1, 2)
		c.propose(t, "a", 0, 1, 2)
		away := (leader + 1) % 3
		c.hub.isolate(address(away), true)
		c.propose(t, "b", 0, 1, 2)
		time.Sleep(10 * time.Second)
		s := c.quorums[leader].State()
		for i, v := range s.Voters {
			behind := v.LastIndex < int64(s.LastIndex)
			late := time.Since(v.LastContact) > 5*time.Second && time.Since(v.CaughtUp) > 5*time.Second
			if isAway := v.NodeID == int32(away+1); behind != isAway || late != isAway {
				t.Errorf("voter %d: %+v of %d", i, v, s.LastIndex)
			}
		}
		if err := c.quorums[leader].VerifyLeader(t.Context()); err != nil {
			t.Error(err)
		}
		if err := c.quorums[away].VerifyLeader(t.Context()); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a member that is cut off: %v", err)
		}
	})
}

func TestMemberNamesAreRead(t *testing.T) {
	for _, m := range []Member{{NodeID: 7, DirectoryID: [16]byte{1, 0xff}, Address: "host:9192"}, {NodeID: 1}, {NodeID: 3, DirectoryID: [16]byte{5}}} {
		back, err := parseMember(m.serverAddress())
		if err != nil || back != m || nodeID(m.serverID()) != m.NodeID {
			t.Errorf("%+v became %s, %+v, %v", m, m.serverAddress(), back, err)
		}
	}
	for _, bad := range []string{"", "x", "1/short@a:1", "99999999999/AAAAAAAAAAAAAAAAAAAAAA@a:1", "1/*@a"} {
		if m, err := parseMember(hraft.ServerAddress(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, m)
		}
	}
}

// A directory of a release that knew no directory ids, of a node that is alone, opens as before.
func TestDirectoryOfTheFirstFormatOpens(t *testing.T) {
	cfg := testConfig(t.TempDir())
	old := &directory{cfg: cfg, latch: newLatch()}
	var err error
	if old.state, err = openStateFile(cfg.Directory+"/"+stateFile, new(atomic.Bool)); err != nil {
		t.Fatal(err)
	}
	old.state.identity = identity{nodeID: 1}
	if err := old.create(beginning{clusterID: "old", founders: []Member{{NodeID: 1}}}); err != nil {
		t.Fatal(err)
	}
	first := append([]byte(stateMagic), 1, 1, 0, 0, 0, 3, 'o', 'l', 'd')
	if _, err := old.state.file.WriteAt(sealed(first), 0); err != nil {
		t.Fatal(err)
	}
	if err := old.close(); err != nil {
		t.Fatal(err)
	}
	q, m := start(t, cfg)
	propose(t, q, "a")
	if q.ClusterID() != "old" || q.Self().serverID() != "1" || m.text() != "begin a" {
		t.Errorf("cluster %q, member %s, state %q", q.ClusterID(), q.Self().serverID(), m.text())
	}
	stop(t, q)
	withCompany := cfg
	withCompany.Streams, withCompany.Address = newHub().open("a"), "a"
	if _, err := Open(withCompany, new(tape)); err == nil {
		t.Error("it was opened as one member of several")
	}
}
