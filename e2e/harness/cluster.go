package harness

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// ClusterConfig is what a test chooses of a cluster it starts.
type ClusterConfig struct {
	Nodes    int // default 3
	Voters   int // how many of the first nodes are initial voters; default: all, at most 5; others join
	Settings map[string]string
	Own      func(node int) map[string]string // settings of one node beside those
	Network  *Network                         // each node on a host of its own; nil: all on loopback
	DataDir  func(node int) string            // where a node keeps its data; default: a temporary directory
	Rack     func(node int) string
	Allowed  []*regexp.Regexp // ERROR lines that the test provokes
	Race     bool
	Planted  string // as of MillraceConfig
}

// Cluster is several Millrace processes that form a cluster, each started from a written millrace.yaml.
type Cluster struct {
	t      testing.TB
	config ClusterConfig
	nodes  []*Node
}

// clusterToken is the secret of clusters whose nodes are not on loopback.
const clusterToken = "only for tests"

// NewCluster writes the configurations of a cluster and starts nothing.
func NewCluster(t testing.TB, config ClusterConfig) *Cluster {
	t.Helper()
	if config.Nodes == 0 {
		config.Nodes = 3
	}
	if config.Voters == 0 {
		config.Voters = min(config.Nodes, 5)
		config.Voters -= 1 - config.Voters%2
	}
	c := &Cluster{t: t, config: config}
	for id := 1; id <= config.Nodes; id++ {
		c.nodes = append(c.nodes, c.newNode(id))
	}
	for _, n := range c.nodes {
		n.Write()
	}
	return c
}

// StartCluster starts all nodes at once and returns when each serves clients. At the end of the test they are stopped
// and their logs judged.
func StartCluster(t testing.TB, config ClusterConfig) *Cluster {
	t.Helper()
	c := NewCluster(t, config)
	c.StartAll()
	return c
}

func (c *Cluster) newNode(id int) *Node {
	c.t.Helper()
	n := &Node{
		t: c.t, id: id, binary: builtBinary(c.t, c.config.Race, c.config.Planted), allowed: c.config.Allowed, cluster: c,
		logPath: filepath.Join(logDir(c.t), fmt.Sprintf("node-%d.log", id)),
	}
	if c.config.DataDir != nil {
		n.dataDir = c.config.DataDir(id)
	} else {
		n.dataDir = filepath.Join(c.t.TempDir(), fmt.Sprintf("node-%d", id))
	}
	n.configPath = filepath.Join(c.t.TempDir(), fmt.Sprintf("node-%d.yaml", id))
	if c.config.Network == nil {
		n.kafka, n.http, n.peer = FreeAddress(c.t), FreeAddress(c.t), FreeAddress(c.t)
	} else {
		host := c.config.Network.Host(id)
		n.kafka, n.http, n.peer = host+":9092", host+":9644", host+":9093"
		n.prefix = c.config.Network.Prefix(id)
	}
	c.t.Cleanup(n.judge)
	c.t.Cleanup(n.Kill) // who wants a clean end asks for it: a cluster that has lost its quorum cannot give one
	return n
}

// settings are the lines of one node's millrace.yaml.
func (c *Cluster) settings(n *Node) map[string]string {
	lines := map[string]string{
		"node.id": fmt.Sprint(n.id), "data.directory": n.dataDir, "kafka.address": n.kafka, "http.address": n.http, "cluster.address": n.peer,
	}
	var peers []string
	for i := range c.config.Voters {
		if n.id <= c.config.Voters {
			peers = append(peers, fmt.Sprintf("%d@%s", i+1, c.nodes[i].peer))
		} else {
			peers = append(peers, c.nodes[i].peer)
		}
	}
	lines["cluster.initial_voters"] = strings.Join(peers, ",")
	if n.id > c.config.Voters {
		delete(lines, "cluster.initial_voters")
		lines["cluster.join"] = strings.Join(peers, ",")
	}
	if c.config.Network != nil {
		lines["security.insecure_listeners"], lines["cluster.token"] = "true", clusterToken
	}
	if c.config.Rack != nil {
		lines["node.rack"] = c.config.Rack(n.id)
	}
	settings := maps.Clone(c.config.Settings)
	if c.config.Own != nil {
		if settings == nil {
			settings = map[string]string{}
		}
		maps.Copy(settings, c.config.Own(n.id))
	}
	for key, value := range settings {
		if key = strings.TrimSpace(key); !strings.HasPrefix(key, "node.") && !strings.HasPrefix(key, "cluster.") && !strings.HasPrefix(key, "data.") && !strings.HasPrefix(key, "logging.") && !strings.HasPrefix(key, "shutdown.") {
			key = "broker/" + key
		}
		lines[key] = value
	}
	return lines
}

// Add writes the configuration of one more node, which joins.
func (c *Cluster) Add() *Node {
	c.t.Helper()
	n := c.newNode(len(c.nodes) + 1)
	c.nodes = append(c.nodes, n)
	n.Write()
	return n
}

// StartAll starts every node that does not run and waits until each serves.
func (c *Cluster) StartAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		if !n.Running() {
			n.Start()
		}
	}
	for _, n := range c.nodes {
		n.AwaitServing()
	}
}

// StopAll stops every node cleanly, one after the other.
func (c *Cluster) StopAll() {
	c.t.Helper()
	for _, n := range c.nodes {
		n.Stop()
	}
}

// KillAll kills every node.
func (c *Cluster) KillAll() {
	for _, n := range c.nodes {
		n.Kill()
	}
}

// Node returns a node by its id, from 1 on.
func (c *Cluster) Node(id int) *Node { return c.nodes[id-1] }

// Nodes returns all nodes, in order.
func (c *Cluster) Nodes() []*Node { return c.nodes }

// Addresses are the Kafka listeners of all nodes.
func (c *Cluster) Addresses() (all []string) {
	for _, n := range c.nodes {
		all = append(all, n.kafka)
	}
	return all
}

// Await waits until something holds; what says what, and the error of the last look is told when it never does.
func Await(t testing.TB, what string, within time.Duration, holds func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for {
		err := holds(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %v: %v", what, within, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
