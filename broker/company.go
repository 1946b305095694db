package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/api"
	"github.com/millrace-io/millrace/broker/peer"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// internalListener is the name of the listener between brokers.
const internalListener = "INTERNAL"

// company is what a node has that is not alone: the listener for other nodes, connections to them, and its registration at
// the controller. Fields are set by Start and fixed after it.
type company struct {
	b        *Broker
	peers    peer.Config
	identity *atomic.Pointer[peer.Identity] // of this node; metadata sets its directory and, once it is known, its cluster

	strangers  *strangers
	listener   net.Listener
	mux        *peer.Mux
	pool       *peer.Pool // for registration and heartbeats, and what replicas ask
	asking     *peer.Pool // for what clients wait for: it may take long, and heartbeats must not wait behind it
	marking    *peer.Pool // for markers of transactions, whose answers wait for their commit
	verifying  *peer.Pool // for questions to transaction coordinators, which may wait for a transaction to be completed
	internal   *server.Server
	lifecycle  *lifecycle
	departures *departures
	absences   *absences
	lifelines  *lifelines
	lost       *lostReplicas
	running    bool          // run of lifecycle was started
	handled    atomic.Uint64 // index up to which this node has handled the metadata log
}

// newCompany listens for other nodes; nil for a node that is alone.
func newCompany(b *Broker) (*company, error) {
	if b.cfg.Cluster.Alone() {
		return nil, nil
	}
	token, err := b.cfg.Cluster.token()
	if err != nil {
		return nil, err
	}
	c := &company{b: b, identity: peer.NewIdentity(b.cfg.NodeID), strangers: newStrangers(b.clock, b.logger)}
	c.peers = peer.Config{Identity: func() peer.Identity { return *c.identity.Load() }, Token: token, Stranger: c.strangers.refused, Logger: b.logger, Registerer: b.registry}
	if c.listener, err = listen("cluster.address", b.cfg.Cluster.Address); err != nil {
		return nil, err
	}
	c.lost = newLostReplicas(lostReplicas{
		nodeID: b.cfg.NodeID, image: func() *image.Image { return b.metadata.Image() }, epoch: c.epoch, logger: b.logger,
		irregular: func() []*replica.Partition { return b.replicas.Irregular() },
		ask: func(ctx context.Context, request *kmsg.AssignReplicasToDirsRequest) (*kmsg.AssignReplicasToDirsResponse, error) {
			return askController[*kmsg.AssignReplicasToDirsResponse](ctx, c, request)
		},
		settled: func() { c.lifecycle.Poke() },
	})
	c.absences = &absences{
		nodeID: b.cfg.NodeID, image: func() *image.Image { return b.metadata.Image() }, held: func() bool { return c.lifecycle.Held() },
		refused: peer.Alive, clock: b.clock,
	}
	c.lifelines = &lifelines{
		nodeID: b.cfg.NodeID, image: func() *image.Image { return b.metadata.Image() }, logger: b.logger, poked: make(chan struct{}, 1),
		dial: func(ctx context.Context, nodeID int32, address string) (io.ReadCloser, error) {
			return peer.DialLifeline(ctx, c.peers, nodeID, address)
		},
	}
	c.mux = peer.NewMux(c.listener, c.peers)
	c.pool, c.asking = peer.NewPool(c.peers, c.resolve), peer.NewPool(c.peers, c.resolve)
	c.marking, c.verifying = peer.NewPool(c.peers, c.resolve), peer.NewPool(c.peers, c.resolve)
	return c, nil
}

// configure tells the metadata how to find other nodes.
func (c *company) configure(cfg *metadata.Config) {
	cluster := c.b.cfg.Cluster
	cfg.Address, cfg.Join = cluster.PeerAddress(), cluster.Join
	for _, v := range cluster.InitialVoters {
		cfg.InitialVoters = append(cfg.InitialVoters, metadata.Voter{NodeID: v.NodeID, Address: v.Address})
	}
	cfg.Streams = peer.NewStreams(c.mux, c.peers, c.identity)
	cfg.Loads = newLoads(c.Do, func() *image.Image { return c.b.metadata.Image() }).of
}

// resolve says where a node is: what it registered, or before that where the quorum knows it.
func (c *company) resolve(nodeID int32) (address string, directoryID [16]byte, ok bool) {
	if nodeID == c.b.cfg.NodeID {
		return c.b.cfg.Cluster.PeerAddress(), directoryID, true
	}
	if b := c.b.metadata.Image().Broker(nodeID); b != nil {
		if address, ok := internalAddress(b); ok {
			return address, directoryID, true
		}
	}
	address, ok = c.b.metadata.MemberAddress(nodeID)
	return address, directoryID, ok
}

// internalAddress is where a broker listens for others.
func internalAddress(b *image.Broker) (string, bool) {
	for _, l := range b.Listeners {
		if l.Name == internalListener {
			return net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))), true
		}
	}
	return "", false
}

// Do sends what this broker asks for itself.
func (c *company) Do(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error) {
	return c.pool.Do(ctx, nodeID, request)
}

// Confirm implements api.Services.Departures.
func (c *company) Confirm(ctx context.Context, brokers []int32) bool {
	return c.departures.Confirm(ctx, brokers)
}

// newSession makes the session of another broker's connection; its end may be the first sign that the broker is gone.
func (c *company) newSession(sessions *api.API) func(*server.Peer) server.Session {
	return func(p *server.Peer) server.Session {
		who, known := c.mux.Peer(p.Remote)
		if !known {
			return sessions.NewSession(p) // of so many connections that its name is forgotten: it may do nothing
		}
		p.Identity = security.Identity{Tenant: security.DefaultTenant, Principal: api.BrokerPrincipal(who.NodeID), Host: p.Identity.Host}
		return &peerSession{Session: sessions.NewSession(p), ended: func() { c.departures.Suspect(who.NodeID) }}
	}
}

// peerSession tells of the end of a broker's connection.
type peerSession struct {
	server.Session
	ended func()
}

// Close implements server.Session.
func (s *peerSession) Close() {
	s.Session.Close()
	s.ended()
}

// serve starts what other brokers ask of this one.
func (c *company) serve(sessions *api.API) error {
	b := c.b
	c.departures = newDepartures(departuresConfig{
		NodeID: b.cfg.NodeID, IsController: b.metadata.IsController, Image: b.metadata.Image,
		Refused: func(ctx context.Context, address string) bool {
			return errors.Is(peer.Hail(ctx, address), peer.ErrAbsent)
		},
		Gone: b.metadata.BrokerGone, Logger: b.logger,
	})
	settings := b.settings.Broker(b.metadata.Image())
	var err error
	c.internal, err = server.New(server.Config{
		Name: internalListener, Listener: c.mux.Kafka(), NewSession: c.newSession(sessions),
		RequestMaxBytes: int(settings.Int32("socket.request.max.bytes")), MemoryBudget: b.frames,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
	})
	if err != nil {
		return err
	}
	b.background.Go(func() {
		if err := c.internal.Serve(); err != nil {
			b.fail(err)
		}
	})
	b.background.Go(c.watchController)
	b.background.Go(c.acceptLifelines)
	return nil
}

// acceptLifelines watches over brokers until the listener between brokers is closed.
func (c *company) acceptLifelines() {
	for {
		line, err := c.mux.Lifelines().Accept()
		if err != nil {
			return
		}
		if who, known := c.mux.Peer(line.RemoteAddr()); known {
			c.departures.Watch(who.NodeID, line)
		} else {
			_ = line.Close()
		}
	}
}

// prepare makes the registration, before the metadata that it follows and the logs whose clean stop it tells of are used.
func (c *company) prepare() error {
	b := c.b
	previous, err := takeCleanEpoch(b.cfg.Directory)
	if err != nil {
		return err
	}
	registration, err := b.registrationRequest(previous)
	if err != nil {
		return err
	}
	millis := func(name string) func() time.Duration {
		return func() time.Duration {
			return time.Duration(b.settings.Broker(b.metadata.Image()).Int64(name)) * time.Millisecond
		}
	}
	c.lifecycle = newLifecycle(lifecycleConfig{
		NodeID: b.cfg.NodeID, Register: func() *kmsg.BrokerRegistrationRequest { r := *registration; return &r },
		Registered: c.lost.wake, Accounted: c.accounted, Outdated: b.metadata.Full, FencingChanged: func() { b.replicas.Deposed() },
		Offline: c.offlineDirectories, MetadataOffset: func() int64 { return int64(c.handled.Load()) },
		OwnEpoch: func() int64 {
			if own := b.metadata.Image().Broker(b.cfg.NodeID); own != nil {
				return own.Epoch
			}
			return -1
		},
		Await: b.metadata.Await, Controller: b.metadata.WatchLeader, Send: c.Do,
		Interval: millis("broker.heartbeat.interval.ms"), Timeout: millis("broker.session.timeout.ms"), Logger: b.logger,
	})
	for _, dir := range b.dirs {
		b.background.Go(func() {
			select {
			case <-dir.Failed():
				c.lifecycle.Poke()
			case <-b.closing:
			}
		})
	}
	return nil
}

// accounted reports whether the controller may let this broker serve: it knows of each replica that this start of the broker
// has not, or cannot use. What counts then is what lies in directories that work.
func (c *company) accounted() bool {
	own := c.b.metadata.Image().Broker(c.b.cfg.NodeID)
	return own != nil && own.Epoch == c.epoch() && c.lost.untold() == 0 && len(c.missingDirectories(own)) == 0
}

// offlineDirectories are the log directories that the controller is to strike off: those that have failed since the start,
// and those that were not there then. Not before it knows which replicas lay there: nothing else tells the next start of this
// broker that there is something to tell.
func (c *company) offlineDirectories() (ids [][16]byte) {
	own := c.b.metadata.Image().Broker(c.b.cfg.NodeID)
	if own == nil || own.Epoch != c.epoch() {
		return nil
	}
	ids = c.missingDirectories(own)
	for _, dir := range c.b.dirs {
		if slices.Contains(own.Directories, dir.ID()) && c.b.replicas.GivenUp(dir) {
			ids = append(ids, dir.ID())
		}
	}
	if len(ids) > 0 && c.lost.untold() > 0 {
		return nil
	}
	return ids
}

// missingDirectories are those that this broker's registration has and this start of it does not have.
func (c *company) missingDirectories(own *image.Broker) (ids [][16]byte) {
	here := c.b.directoryIDs()
	for _, id := range own.Directories {
		if !slices.Contains(here, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// apply follows the metadata, after replicas and groups have. A broker that stops waits until every other says that its
// image holds the new leaders, so a change of any broker is answered by a heartbeat now.
func (c *company) apply(delta *image.Delta) {
	c.handled.Store(delta.To.Index())
	if len(delta.Brokers) > 0 {
		c.lifecycle.Poke()
		c.lifelines.Poke()
	}
	c.lost.wake()
}

// watchController probes every broker when this node becomes the controller, and tells every new one what it does not know.
func (c *company) watchController() {
	led := false
	for {
		_, _, changed := c.b.metadata.WatchLeader()
		c.lost.retry()
		if leads := c.b.metadata.IsController(); leads && !led {
			c.departures.SuspectAll()
			led = true
		} else if !leads {
			led = false
		}
		select {
		case <-changed:
		case <-c.b.closing:
			return
		}
	}
}

// join registers this broker and returns once it may serve clients.
func (c *company) join(ctx context.Context) error {
	c.running = true
	go c.lifecycle.run() // joined by leave
	telling, end := context.WithCancel(context.Background())
	c.b.background.Go(func() { c.lost.run(telling) })
	c.b.background.Go(func() { c.absences.run(telling) })
	c.b.background.Go(func() { c.lifelines.run(telling) })
	c.b.background.Go(func() {
		<-c.b.closing
		end()
	})
	if err := c.lifecycle.AwaitUnfenced(ctx); err != nil {
		return fmt.Errorf("wait until the controller lets this broker serve: %w", err)
	}
	c.b.background.Go(func() { c.b.handlers.KeepProducerIDs(telling) }) // the controller gives none before
	return nil
}

// leave asks the controller to move leaderships away, which ends the registration, and reports whether they have moved.
func (c *company) leave(ctx context.Context) (granted bool) {
	if c.lifecycle == nil {
		return false
	}
	began := c.b.clock()
	granted = c.lifecycle.Stop(ctx, c.running)
	c.b.logger.Info("controlled shutdown", "granted", granted, "took", c.b.clock().Sub(began).String())
	return granted
}

// closeInternal ends what other brokers ask of this one.
func (c *company) closeInternal(ctx context.Context) error {
	var err error
	if c.internal != nil {
		err = c.internal.Close(ctx)
	}
	if c.departures != nil {
		c.departures.Close()
	}
	return err
}

// close ends what is left, once nobody uses it.
func (c *company) close() error {
	return errors.Join(c.verifying.Close(), c.marking.Close(), c.asking.Close(), c.pool.Close(), c.mux.Close())
}

// epoch is the epoch of this broker's registration, -1 before there is one.
func (c *company) epoch() int64 {
	if c == nil || c.lifecycle == nil {
		return -1
	}
	return c.lifecycle.Epoch()
}
