package api

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/share/state"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// testServices is a whole broker in memory, with id 1, below the API. Its groups and transactions have no topic to live in.
func testServices(t testing.TB, static map[string]string) *Services {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	logger := slog.New(slog.DiscardHandler)
	node, err := metadata.Open(t.Context(), metadata.Config{
		NodeID: 1, ClusterID: "MkU3OEVBNTcwNTJENDM2Qk", Static: static, InMemory: true, Clock: time.Now, Logger: logger,
		Registerer: prometheus.NewRegistry(),
	})
	must(err)
	dir, err := log.OpenDir(log.DirConfig{
		Path: "/data", FS: vfs.NewMemory(), Clock: time.Now, Logger: logger, ClusterID: node.ClusterID(), NodeID: 1,
	})
	must(err)
	settings := config.NewResolver(1, static)
	replicas, err := replica.New(replica.Config{NodeID: 1, Dirs: []*log.Dir{dir}, Settings: settings, Clock: time.Now, Logger: logger})
	must(err)
	node.Subscribe("replicas", replicas.Apply)
	groups := group.New(group.Config{PartitionCount: func() int32 { return 0 }})
	transactions := txn.New(txn.Config{PartitionCount: func() int32 { return 0 }})
	states := state.NewService(state.Config{PartitionCount: func() int32 { return 0 }, Exists: func([16]byte, int32) bool { return false }})
	s := &Services{
		ShareStates: states,
		NodeID:      1, Metadata: node, Replicas: replicas, Groups: groups, TransactionCoordinator: transactions, Settings: settings, Clock: time.Now, Logger: logger,
		LogLevel: new(slog.LevelVar), InternalListener: internalListener,
	}
	t.Cleanup(func() {
		s.Close()
		transactions.Close()
		states.Close()
		groups.Close()
		must(node.Close())
		replicas.Close()
		must(dir.Close())
	})
	must(node.Start())
	_, err = node.RegisterBroker(t.Context(), image.Broker{ID: 1, Rack: "rack-a", Listeners: []image.Listener{
		{Name: "PLAINTEXT", Host: "127.0.0.1", Port: 9092, SecurityProtocol: "PLAINTEXT"},
	}})
	must(err)
	return s
}

// testServer is that broker behind a Kafka listener of clients.
func testServer(t testing.TB, s *Services) (address string) {
	t.Helper()
	return testListener(t, s, "PLAINTEXT")
}

const internalListener = "INTERNAL"

// testListener is that broker behind a listener of that name; by the one between brokers comes broker 2.
func testListener(t testing.TB, s *Services, name string) (address string) {
	t.Helper()
	who := security.Anonymous("127.0.0.1")
	if name == internalListener {
		who.Principal = BrokerPrincipal(2)
	}
	return testListenerAs(t, s, name, who)
}

func testListenerAs(t testing.TB, s *Services, name string, who security.Identity) (address string) {
	t.Helper()
	sessions := New(s)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kafka, err := server.New(server.Config{Name: name, Listener: listener, Logger: s.Logger, NewSession: func(p *server.Peer) server.Session {
		p.Identity = who
		return sessions.NewSession(p)
	}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- kafka.Serve() }()
	t.Cleanup(func() {
		if err := kafka.Close(t.Context()); err != nil {
			t.Logf("close: %v", err)
		}
		<-served
	})
	return listener.Addr().String()
}
