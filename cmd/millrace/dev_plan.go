package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/millrace-io/millrace/broker"
)

// devPortStep lies between the ports of one node and those of the next; the inter-broker port is the Kafka port + 1.
const devPortStep = 10

// Ports that are chosen freely lie below those that systems give to outgoing connections, so that a node that was killed
// finds its own port free again.
const devPortLow, devPortHigh = 12_000, 32_000

// perNode are the settings that `millrace dev --nodes` decides for each node.
var perNode = []string{"node.id", "data.directory", "data.log_directories", "kafka.address", "http.address", "cluster.address",
	"cluster.advertised", "cluster.initial_voters", "cluster.join"}

// checkDevNodes says how many nodes make sense.
func checkDevNodes(nodes int) error {
	if nodes == 1 || nodes == 3 || nodes == 5 {
		return nil
	}
	return usagef("--nodes %d: use 1, 3 or 5; every node is a voter, and an even number of them survives no more failures than one less", nodes)
}

// devFile is where a node of a data directory has its millrace.yaml.
func devFile(root string, id int) string {
	return filepath.Join(root, "node-"+strconv.Itoa(id), "millrace.yaml")
}

// writtenNode reads what an earlier run wrote for a node; nil when there is nothing.
func writtenNode(root string, id int) (*nodeConfig, error) {
	cfg := newNodeConfig()
	err := cfg.readFile(devFile(root, id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return cfg, err
}

// checkWritten refuses a number of nodes with which the data of an earlier run would not come up.
func checkWritten(root string, nodes int) error {
	have := 0
	for have < 99 {
		if _, err := os.Stat(devFile(root, have+1)); err != nil {
			break
		}
		have++
	}
	first, err := writtenNode(root, 1)
	if err != nil {
		return err
	}
	switch {
	case have > nodes:
		return usagef("%s holds a cluster of %d nodes: start it with --nodes %d, or choose another --data-dir", root, have, have)
	case first != nil && first.Cluster.Alone() && nodes > 1:
		return usagef("%s holds a node that is alone: start it with --nodes 1, or choose another --data-dir", root)
	}
	return nil
}

// planDevCluster makes the configuration of each node. Ports that are not given are those of the last run, or free ones.
func planDevCluster(o *devOptions, root string) ([]*nodeConfig, error) {
	if err := checkWritten(root, o.nodes); err != nil {
		return nil, err
	}
	if err := checkPerNode(o.set); err != nil {
		return nil, err
	}
	ports := newPortChooser()
	defer ports.release()
	plans := make([]*nodeConfig, o.nodes)
	for i := range plans {
		cfg, err := planDevNode(o, root, i+1, ports)
		if err != nil {
			return nil, err
		}
		plans[i] = cfg
	}
	voters := make([]broker.Voter, o.nodes)
	for i, cfg := range plans {
		voters[i] = broker.Voter{NodeID: cfg.NodeID, Address: cfg.Cluster.Address}
	}
	for _, cfg := range plans {
		cfg.Cluster.InitialVoters = voters
		if err := cfg.Validate(); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

func checkPerNode(set []string) error {
	for _, pair := range set {
		key, _, _ := strings.Cut(pair, "=")
		if s, ok := findNodeSetting(strings.TrimSpace(key)); ok && slices.Contains(perNode, s.path) {
			return usagef("--set %s: --nodes chooses it for each node", key)
		}
	}
	return nil
}

func planDevNode(o *devOptions, root string, id int, ports *portChooser) (*nodeConfig, error) {
	before, err := writtenNode(root, id)
	if err != nil {
		return nil, err
	}
	if before == nil {
		before = newNodeConfig()
		before.KafkaAddress, before.HTTPAddress = "", ""
	}
	kafka, err := ports.address("--kafka-addr", o.kafkaAddr, id, before.KafkaAddress)
	if err != nil {
		return nil, err
	}
	http, err := ports.address("--http-addr", o.httpAddr, id, before.HTTPAddress)
	if err != nil {
		return nil, err
	}
	cfg := newNodeConfig()
	for _, given := range []struct{ path, value string }{
		{"node.id", strconv.Itoa(id)}, {"logging.level", "warn"}, {"data.directory", filepath.Dir(devFile(root, id))},
		{"kafka.address", kafka}, {"http.address", http}, {"cluster.address", peerAddress(kafka)},
		{"default.replication.factor", "3"}, {"min.insync.replicas", "2"},
	} {
		if err := cfg.set(given.path, given.value, "millrace dev"); err != nil {
			return nil, err
		}
	}
	if err := cfg.setAssignments(o.set); err != nil {
		return nil, err
	}
	if cfg.KafkaAdvertised != "" {
		cfg.KafkaAdvertised, err = shiftPort(cfg.KafkaAdvertised, devPortStep*(id-1))
	}
	return cfg, err
}

// peerAddress is the inter-broker address beside a Kafka address: on loopback, where no token is needed.
func peerAddress(kafka string) string {
	host, port, _ := net.SplitHostPort(kafka)
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		host = "127.0.0.1"
	}
	n, _ := strconv.Atoi(port)
	return net.JoinHostPort(host, strconv.Itoa(n+1))
}

// shiftPort adds to the port of an address.
func shiftPort(address string, by int) (string, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%q is not host:port", address)
	}
	port, err := net.LookupPort("tcp", text)
	if err != nil {
		return "", fmt.Errorf("%q is not a port", text)
	}
	if port+by > 65_535 {
		return "", fmt.Errorf("port %d is too high", port+by)
	}
	return net.JoinHostPort(host, strconv.Itoa(port+by)), nil
}

// portChooser finds free ports and keeps them taken until all are found.
type portChooser struct{ held []net.Listener }

func newPortChooser() *portChooser { return &portChooser{} }

func (p *portChooser) release() {
	for _, l := range p.held {
		_ = l.Close()
	}
}

// address is that of node id when base is that of node 1. With port 0 it is what it was before, or one with a free port
// and a free port after it.
func (p *portChooser) address(flag, base string, id int, before string) (string, error) {
	address, err := shiftPort(base, devPortStep*(id-1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", flag, err)
	}
	host, port, _ := net.SplitHostPort(base)
	if port != "0" {
		return address, nil
	}
	if beforeHost, _, err := net.SplitHostPort(before); err == nil && beforeHost == host {
		return before, nil
	}
	for range 1000 {
		n := devPortLow + 2*rand.IntN((devPortHigh-devPortLow)/2)
		if p.hold(host, n) && p.hold(host, n+1) {
			return net.JoinHostPort(host, strconv.Itoa(n)), nil
		}
	}
	return "", fmt.Errorf("%s: no free port was found on %s", flag, host)
}

func (p *portChooser) hold(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	p.held = append(p.held, l)
	return true
}
