package metadata

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/join"
	"github.com/millrace-io/millrace/metadata/raft"
)

// Voter is one of the first voters of a new cluster, the same on every node.
type Voter = join.Voter

// Streams is how a node reaches the others, and they it; peer.Streams is it.
type Streams interface {
	raft.Streams
	// DialJoin opens a connection for one question to whoever answers at an address.
	DialJoin(ctx context.Context, address string) (net.Conn, error)
	// Join is where others' questions arrive. The node accepts from it between Open and Close, and closes it.
	Join() net.Listener
	// Introduce sets who this node is: its directory and, once it is known, its cluster.
	Introduce(clusterID string, directoryID [16]byte)
}

const (
	questionTimeout = time.Second // of one question with its answer
	admitTimeout    = 6 * time.Second
	askIntervalMin  = 20 * time.Millisecond // between rounds of questions of a node that does not belong to a cluster yet
	askIntervalMax  = 500 * time.Millisecond
)

// errNoCluster says that a node gave up before it belonged to a cluster.
var errNoCluster = errors.New("this node does not belong to a cluster yet")

// joiner asks the others who they are and what they know, until this node belongs to a cluster.
type joiner struct {
	cfg    Config
	quorum *raft.Quorum
	heard  <-chan struct{} // a token when another node asked something, so that it is there
	told   string          // the reason that was logged last
}

func (j *joiner) self() join.Party {
	m := j.quorum.Self()
	return join.Party{NodeID: m.NodeID, DirectoryID: m.DirectoryID, ClusterID: j.quorum.ClusterID(), Address: m.Address}
}

// run returns once the member has a log, and the founders when it is a new cluster's.
func (j *joiner) run(ctx context.Context) ([]join.Member, error) {
	interval := askIntervalMin
	for {
		step := join.Decide(j.self(), j.cfg.InitialVoters, j.askAll(ctx, j.addresses(), join.Question{From: j.self()}))
		if step.AdmitAt != "" {
			step = j.admit(ctx, step.AdmitAt)
		}
		switch {
		case step.Belong != "":
			j.cfg.Logger.Info("joins metadata quorum", "cluster.id", step.Belong, "node.id", j.cfg.NodeID)
			return nil, j.quorum.Join(step.Belong)
		case step.Found != nil:
			return step.Found, j.found(step.Found)
		}
		j.tell(step.Wait)
		if err := j.wait(ctx, interval); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", errNoCluster, step.Wait, err)
		}
		interval = min(2*interval, askIntervalMax)
	}
}

func (j *joiner) found(members []join.Member) error {
	var voters []raft.Member
	for _, m := range members {
		voters = append(voters, raft.Member{NodeID: m.NodeID, DirectoryID: m.DirectoryID, Address: m.Address})
	}
	if err := j.quorum.Found(voters); err != nil {
		return err
	}
	j.cfg.Logger.Info("founds metadata quorum", "cluster.id", j.quorum.ClusterID(), "node.id", j.cfg.NodeID, "voters", len(voters))
	return nil
}

// tell logs what is waited for, once for each reason.
func (j *joiner) tell(reason string) {
	if reason != j.told {
		j.told = reason
		j.cfg.Logger.Info("waits to belong to a cluster", "node.id", j.cfg.NodeID, "reason", reason)
	}
}

func (j *joiner) wait(ctx context.Context, interval time.Duration) error {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-j.heard:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addresses are those that the configuration names, without this node's own.
func (j *joiner) addresses() []string {
	var list []string
	for _, v := range j.cfg.InitialVoters {
		list = append(list, v.Address)
	}
	list = append(list, j.cfg.Join...)
	others := list[:0]
	for _, address := range list {
		if address != j.cfg.Address {
			others = append(others, address)
		}
	}
	return others
}

// askAll asks the same of every address at once and returns the answers that came, by address.
func (j *joiner) askAll(ctx context.Context, addresses []string, q join.Question) map[string]join.Answer {
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	answers := map[string]join.Answer{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for _, address := range addresses {
		asking.Go(func() {
			a, err := ask(ctx, j.cfg.Streams, address, q)
			if err != nil {
				j.cfg.Logger.Debug("ask a node", "address", address, "error", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if a.From.DirectoryID != q.From.DirectoryID {
				answers[address] = a
			}
		})
	}
	asking.Wait()
	return answers
}

// checkCluster refuses a disk of another cluster than most of the configured addresses belong to: an only voter there would
// begin to serve its own cluster under the addresses of this one. Whoever starts first finds nobody, and one address that
// answers as this cluster is enough; a single node with a wrong disk keeps nobody from starting.
func (j *joiner) checkCluster(ctx context.Context) error {
	var asking sync.WaitGroup
	defer asking.Wait()
	ctx, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	addresses := j.addresses()
	outcomes := make(chan error, len(addresses))
	for _, address := range addresses {
		asking.Go(func() {
			_, err := ask(ctx, j.cfg.Streams, address, join.Question{From: j.self()})
			outcomes <- err
		})
	}
	foreign, last := 0, error(nil)
	for range addresses {
		err := <-outcomes
		var other interface{ OtherCluster() bool }
		switch {
		case err == nil:
			return nil
		case errors.As(err, &other):
			foreign, last = foreign+1, err
		}
	}
	if foreign <= len(addresses)/2 {
		return nil
	}
	return fmt.Errorf("the metadata directory %s is of another cluster (%s) than the nodes that this one is configured to join: %w; "+
		"start it with its own data directory, or with an empty one to join them anew", j.cfg.Directory, j.quorum.ClusterID(), last)
}

// admit asks the controller to make this node a member.
func (j *joiner) admit(ctx context.Context, address string) join.Step {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	a, err := ask(ctx, j.cfg.Streams, address, join.Question{Kind: join.Admit, From: j.self()})
	switch {
	case err != nil:
		return join.Step{Wait: fmt.Sprintf("the controller at %s did not answer", address)}
	case a.Outcome == join.Admitted:
		return join.Step{Belong: a.From.ClusterID}
	case a.Outcome == join.Refused:
		return join.Step{Wait: fmt.Sprintf("the controller at %s: %s", address, a.Reason)}
	}
	return join.Step{Wait: fmt.Sprintf("%s is the controller no more", address)}
}

// ask puts one question to one node.
func ask(ctx context.Context, streams Streams, address string, q join.Question) (join.Answer, error) {
	conn, err := streams.DialJoin(ctx, address)
	if err != nil {
		return join.Answer{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := conn.Write(join.AppendQuestion(nil, q)); err != nil {
		return join.Answer{}, err
	}
	return join.ReadAnswer(conn)
}
