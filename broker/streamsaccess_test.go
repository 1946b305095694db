package broker

import (
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/api"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/security"
)

// grant is an operation on a resource.
type grant struct {
	operation security.Operation
	resource  security.ResourceType
	name      string
}

// grants are all that somebody may do.
type grants struct {
	mu   sync.Mutex
	have map[grant]bool
}

func (g *grants) give(operation security.Operation, resource security.ResourceType, names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		g.have[grant{operation, resource, name}] = true
	}
}

func (g *grants) take(operation security.Operation, resource security.ResourceType, names ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range names {
		delete(g.have, grant{operation, resource, name})
	}
}

// permits lets everybody ask, and do what is granted.
func (g *grants) permits(_ security.Identity, operation security.Operation, resource security.ResourceType, name string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return name == "" || g.have[grant{operation, resource, name}]
}

// clientAs is a client of the broker whose connections have that identity, and what the rule permits. The rest of the broker is the one
// that there is.
func clientAs(t *testing.T, b *Broker, who security.Identity, permits func(security.Identity, security.Operation, security.ResourceType, string) bool) *kgo.Client {
	t.Helper()
	services := b.services()
	services.Registerer, services.Permits = nil, permits
	sessions := api.New(services)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	kafka, err := server.New(server.Config{Name: listenerName, Listener: listener, Logger: b.logger, NewSession: func(p *server.Peer) server.Session {
		p.Identity = who
		return sessions.NewSession(p)
	}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- kafka.Serve() }()
	t.Cleanup(func() {
		_ = kafka.Close(t.Context()) // the context has ended: connections do not outlive the test
		<-served
		services.Close()
	})
	return newClient(t, listener.Addr().String())
}

// newGuardedStreamer is a member that may do nothing, on a broker with the topic that its application reads.
func newGuardedStreamer(t *testing.T, group string) (owner, m *streamer, may *grants) {
	t.Helper()
	b := startForStreams(t)
	owner = &streamer{t: t, client: newClient(t, b.KafkaAddress()), group: group, copies: 1}
	admin := kadm.NewClient(owner.client)
	if _, err := admin.CreateTopic(t.Context(), 3, 1, nil, "lines"); err != nil {
		t.Fatal(err)
	}
	admin.FindGroupCoordinators(t.Context(), group) // which creates the topic of groups
	may = &grants{have: map[grant]bool{}}
	alice := security.Identity{Tenant: security.DefaultTenant, Principal: "User:alice", Host: "127.0.0.1"}
	return owner, &streamer{t: t, client: clientAs(t, b, alice, may.permits), group: group, copies: 1}, may
}

func (m *streamer) mustBeRefused(why *kerr.Error, without string) {
	m.t.Helper()
	if answer := m.ask(); answer.ErrorCode != why.Code || answer.MemberEpoch != 0 || answer.ActiveTasks != nil {
		m.t.Errorf("without %s: %+v, want %v", without, answer, why)
	}
}

// mustLack beats once and wants to be told that it may not create these.
func (m *streamer) mustLack(topics string) {
	m.t.Helper()
	answer := m.beat()
	if len(answer.Status) != 1 || !strings.HasSuffix(answer.Status[0].StatusDetail, "; Unauthorized to CREATE on topics "+topics+".") {
		m.t.Errorf("the status is %+v, want a word about %s", answer.Status, topics)
	}
}

func (m *streamer) topics() []string {
	m.t.Helper()
	listed, err := kadm.NewClient(m.client).ListTopics(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return listed.Names()
}

// A heartbeat needs READ on the group; with a topology DESCRIBE on every topic of it; and internal topics are made by who has
// CREATE on each, or on the cluster (KIP-1071, KafkaApis.handleStreamsGroupHeartbeat).
func TestWhatAHeartbeatOfAStreamsGroupNeeds(t *testing.T) {
	owner, m, may := newGuardedStreamer(t, "app")
	may.give(security.OperationDescribe, security.ResourceGroup, "app")
	may.give(security.OperationRead, security.ResourceGroup, "other")
	m.mustBeRefused(kerr.GroupAuthorizationFailed, "READ on the group")
	may.give(security.OperationRead, security.ResourceGroup, "app")
	all := []string{"lines", "app-words", "app-counts"}
	for i, topic := range all {
		m.mustBeRefused(kerr.TopicAuthorizationFailed, "DESCRIBE on "+topic)
		may.give(security.OperationDescribe, security.ResourceTopic, all[i])
	}
	m.mustLack("app-counts, app-words")
	may.give(security.OperationCreate, security.ResourceTopic, "app-words")
	m.mustLack("app-counts")
	if topics := owner.topics(); !slices.Equal(topics, []string{"__consumer_offsets", "lines"}) && !slices.Equal(topics, []string{"lines"}) {
		t.Errorf("the topics are %v: some were made by who may not", topics)
	}
	may.give(security.OperationCreate, security.ResourceTopic, "app-counts")
	m.until(func(*kmsg.StreamsGroupHeartbeatResponse) bool { return len(m.has) == 2 })

	may.take(security.OperationDescribe, security.ResourceTopic, all...) // a heartbeat without a topology names none
	m.beat()
	may.take(security.OperationRead, security.ResourceGroup, "app")
	if answer := m.ask(); answer.ErrorCode != kerr.GroupAuthorizationFailed.Code {
		t.Errorf("without READ on the group a member goes on: %+v", answer)
	}
	m.epoch = -1
	if answer := m.ask(); answer.ErrorCode != kerr.GroupAuthorizationFailed.Code {
		t.Errorf("without READ on the group a member leaves: %+v", answer)
	}
	if g := owner.describe(); g.State != "Stable" || len(g.Members) != 1 {
		t.Errorf("the group is %+v, want it with its member", g)
	}
}

func TestWhoMayCreateInTheClusterMayMakeInternalTopics(t *testing.T) {
	_, m, may := newGuardedStreamer(t, "app")
	may.give(security.OperationRead, security.ResourceGroup, "app")
	may.give(security.OperationDescribe, security.ResourceTopic, "lines", "app-words", "app-counts")
	may.give(security.OperationCreate, security.ResourceCluster, security.ClusterName)
	m.until(func(*kmsg.StreamsGroupHeartbeatResponse) bool { return len(m.has) == 2 })
}

// describe asks for the member's group.
func (m *streamer) describe() kmsg.StreamsGroupDescribeResponseGroup {
	m.t.Helper()
	describe := kmsg.NewPtrStreamsGroupDescribeRequest()
	describe.Groups, describe.IncludeAuthorizedOperations = []string{m.group}, true
	described, err := describe.RequestWith(m.t.Context(), m.client.Broker(1))
	if err != nil || len(described.Groups) != 1 || described.Groups[0].Group != m.group {
		m.t.Fatalf("describe: %v %+v", err, described)
	}
	return described.Groups[0]
}

// A description needs DESCRIBE on the group and on every topic of its topology, else nothing of it is told.
func TestWhatADescriptionOfAStreamsGroupNeeds(t *testing.T) {
	owner, m, may := newGuardedStreamer(t, "app")
	owner.until(func(*kmsg.StreamsGroupHeartbeatResponse) bool { return len(owner.has) == 2 })
	refused := func(why *kerr.Error, without string) {
		t.Helper()
		if g := m.describe(); g.ErrorCode != why.Code || g.Topology != nil || len(g.Members) > 0 || g.State != "" {
			t.Errorf("without %s: %+v, want %v", without, g, why)
		}
	}
	may.give(security.OperationRead, security.ResourceGroup, "app")
	may.give(security.OperationDescribe, security.ResourceGroup, "other")
	refused(kerr.GroupAuthorizationFailed, "DESCRIBE on the group")
	may.give(security.OperationDescribe, security.ResourceGroup, "app")
	for _, topic := range []string{"lines", "app-words", "app-counts"} {
		refused(kerr.TopicAuthorizationFailed, "DESCRIBE on "+topic)
		may.give(security.OperationDescribe, security.ResourceTopic, topic)
	}
	g := m.describe()
	if want := int32(1<<security.OperationRead | 1<<security.OperationDescribe); g.ErrorCode != 0 || g.State != "Stable" || g.AuthorizedOperations != want {
		t.Errorf("the group is %+v, want it with the operations %d", g, want)
	}
}
