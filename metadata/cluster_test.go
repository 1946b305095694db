package metadata

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/peer"
	"github.com/millrace-io/millrace/e2e/harness"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/metadata/raft"
)

// cluster is several nodes in one process, over real sockets on loopback. Each has its directory and its port for good,
// and may be killed, wiped and started again.
type cluster struct {
	t       testing.TB
	root    string
	logger  *slog.Logger
	limits  raft.Limits
	voters  []Voter
	members map[int32]*member
}

// member is one node of a cluster, running or not.
type member struct {
	c       *cluster
	id      int32
	address string
	join    []string // instead of the initial voters

	node  *Node // nil while it does not run
	mux   *peer.Mux
	cut   *cutter
	serve sync.WaitGroup
}

// newCluster makes n nodes that are the initial voters; none runs yet.
func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, root: t.TempDir(), logger: slog.New(slog.DiscardHandler), members: map[int32]*member{}}
	if os.Getenv("MILLRACE_TEST_LOG") != "" {
		c.logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for id := int32(1); id <= int32(n); id++ {
		m := c.add(id)
		c.voters = append(c.voters, Voter{NodeID: id, Address: m.address})
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			m.stop()
		}
	})
	return c
}

func (c *cluster) add(id int32, join ...string) *member {
	m := &member{c: c, id: id, address: harness.FreeAddress(c.t), join: join}
	c.members[id] = m
	return m
}

func (m *member) directory() string { return filepath.Join(m.c.root, strconv.Itoa(int(m.id))) }

// open opens the node as package broker does.
func (m *member) open(ctx context.Context) error {
	l, err := net.Listen("tcp", m.address)
	if err != nil {
		return err
	}
	self := peer.NewIdentity(m.id)
	cut := newCutter()
	cfg := peer.Config{
		Identity: func() peer.Identity { return *self.Load() }, Token: "secret", Dial: cut.dial, Logger: m.c.logger.With("at", m.id),
	}
	m.mux = peer.NewMux(cut.listen(l), cfg)
	m.serve.Go(func() { _ = m.mux.Serve() })
	voters := m.c.voters
	if len(m.join) > 0 {
		voters = nil
	}
	node, err := Open(ctx, Config{
		Directory: m.directory(), NodeID: m.id, Address: m.address, InitialVoters: voters, Join: m.join, Limits: m.c.limits,
		Streams: peer.NewStreams(m.mux, cfg, self), Clock: time.Now, Logger: m.c.logger.With("at", m.id), Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		_ = m.mux.Close()
		m.serve.Wait()
		return err
	}
	m.node, m.cut = node, cut
	return node.Start()
}

func (m *member) start() *member {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := m.open(ctx); err != nil {
		m.c.t.Errorf("start node %d: %v", m.id, err)
	}
	return m
}

// stop stops the node cleanly.
func (m *member) stop() {
	if m.node == nil {
		return
	}
	if err := m.node.Close(); err != nil {
		m.c.t.Errorf("stop node %d: %v", m.id, err)
	}
	_ = m.mux.Close()
	m.serve.Wait()
	m.node = nil
}

// crash ends the node's connections and its port at once, as the end of a process does, and then what is left of it.
func (m *member) crash() {
	m.cut.kill()
	m.stop()
}

func (m *member) wipe() {
	if err := os.RemoveAll(m.directory()); err != nil {
		m.c.t.Fatal(err)
	}
}

// startAll starts several nodes at once.
func (c *cluster) startAll(ids ...int32) {
	c.t.Helper()
	var starting sync.WaitGroup
	for _, id := range ids {
		starting.Go(func() { c.members[id].start() })
	}
	starting.Wait()
	if c.t.Failed() {
		c.t.FailNow()
	}
}

// controller waits until a running node is the controller.
func (c *cluster) controller() *member {
	c.t.Helper()
	var found *member
	c.eventually("a controller", func() bool {
		for _, m := range c.members {
			if m.node != nil && m.node.IsController() {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

func (c *cluster) eventually(what string, is func() bool) {
	c.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			c.t.Fatalf("there is not %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// allocate takes a block of producer ids from whoever leads.
func (c *cluster) allocate() int64 {
	c.t.Helper()
	var first int64
	c.eventually("a block of producer ids", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var err error
		first, err = allocate(ctx, c.controller().node)
		return err == nil
	})
	return first
}

func allocate(ctx context.Context, n *Node) (int64, error) {
	b := n.Image().Broker(1)
	if b == nil {
		if _, err := n.RegisterBroker(ctx, image.Broker{ID: 1, Incarnation: [16]byte{1}}); err != nil {
			return 0, err
		}
		b = n.Image().Broker(1)
	}
	first, _, err := n.AllocateProducerIDs(ctx, 1, b.Epoch)
	return first, err
}

// same waits until every running node has the controller's image.
func (c *cluster) same() {
	c.t.Helper()
	want := c.controller().node.Image().Index()
	for _, m := range c.members {
		if m.node == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if err := m.node.Await(ctx, want); err != nil {
			c.t.Fatalf("node %d stays at index %d of %d: %v", m.id, m.node.Image().Index(), want, err)
		}
		cancel()
	}
}

// cutter is a process's way to the network: it can be cut for a while, or ended as the end of a process does.
type cutter struct {
	dials atomic.Int64 // connections opened

	l net.Listener

	mu       sync.Mutex // guards the rest
	conns    []net.Conn
	isolated bool
}

func newCutter() *cutter { return new(cutter) }

func (c *cutter) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	c.dials.Add(1)
	conn, err := net.DialTimeout(network, address, timeout)
	if err != nil {
		return nil, err
	}
	return conn, c.keep(conn)
}

func (c *cutter) keep(conn net.Conn) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isolated {
		return errors.Join(net.ErrClosed, conn.Close())
	}
	c.conns = append(c.conns, conn)
	return nil
}

func (c *cutter) listen(l net.Listener) net.Listener {
	c.l = l
	return cutListener{l, c}
}

type cutListener struct {
	net.Listener
	c *cutter
}

func (l cutListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil || l.c.keep(conn) == nil {
			return conn, err
		}
	}
}

// isolate cuts the process off, or lets it back. Its port goes on accepting: the process is there.
func (c *cutter) isolate(isolated bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isolated = isolated
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}

func (c *cutter) kill() {
	_ = c.l.Close()
	c.isolate(true)
}

func TestNodesMakeAClusterFromTheirConfigurationAlone(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n, " voters"), func(t *testing.T) {
			c := newCluster(t, n)
			began := time.Now()
			var ids []int32
			for _, v := range c.voters {
				ids = append(ids, v.NodeID)
			}
			c.startAll(ids...)
			c.controller()
			t.Logf("a controller after %v", time.Since(began).Round(time.Millisecond))
			first := c.allocate()
			c.same()
			cluster := c.members[1].node.ClusterID()
			for id, m := range c.members {
				q := m.node.Quorum()
				if m.node.ClusterID() != cluster || m.node.Image().ClusterID() != cluster || len(q.Voters) != n || m.node.Image().NextProducerID() < first+1000 {
					t.Errorf("node %d has cluster %s, image of %q, quorum %+v", id, m.node.ClusterID(), m.node.Image().ClusterID(), q)
				}
				c.eventually("one leader for all", func() bool { return m.node.Quorum().LeaderID == c.controller().id })
			}
		})
	}
}

// A disk of another cluster whose only voter it is would lead, and serve that cluster where clients look for this one.
func TestDiskOfAnotherClusterIsRefused(t *testing.T) {
	other, c := newCluster(t, 0), newCluster(t, 3)
	alien := other.add(4)
	other.voters = []Voter{{NodeID: 4, Address: alien.address}}
	alien.start()
	other.controller()
	alien.stop()
	c.startAll(1, 2, 3)
	c.controller()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	alien.join = []string{c.members[1].address, c.members[2].address}
	err := alien.open(ctx)
	if err == nil || !strings.Contains(err.Error(), "is of another cluster") || !strings.Contains(err.Error(), alien.directory()) {
		t.Errorf("started on a disk of another cluster: %v", err)
	}

	// The wrong disk of one node is no reason for others not to start.
	c.members[3].stop()
	c.members[2].stop()
	c.members[1].stop()
	taken := other.members[4]
	taken.address, taken.join = c.members[3].address, nil // it has the place of node 3
	taken.start()
	c.members[1].start()
	c.members[2].start()
	c.controller()
	taken.stop()
	c.members[3].start()
}

// Members that know a leader ask each other nothing: each question once made the asked one ask everybody, without an end.
func TestSettledMembersAreQuiet(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	dials := func() (sum int64) {
		for _, m := range c.members {
			sum += m.cut.dials.Load()
		}
		return sum
	}
	c.eventually("no node opens a connection for a while", func() bool {
		before := dials()
		time.Sleep(300 * time.Millisecond)
		return dials() == before
	})
}
