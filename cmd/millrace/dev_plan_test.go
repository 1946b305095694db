package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func planFor(t *testing.T, root string, o devOptions) []*nodeConfig {
	t.Helper()
	plans, err := planDevCluster(&o, root)
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range plans {
		file := devFile(root, int(cfg.NodeID))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := writeDevFile(cfg, file, devNode{Kafka: cfg.KafkaAddress, HTTP: cfg.HTTPAddress}); err != nil {
			t.Fatal(err)
		}
	}
	return plans
}

func TestDevClusterPortsLieTenApart(t *testing.T) {
	t.Parallel()
	plans := planFor(t, t.TempDir(), devOptions{nodes: 3, kafkaAddr: "127.0.0.1:19092", httpAddr: "127.0.0.1:19644", set: []string{"num.partitions=7", "kafka.advertised=example.org:19092"}})
	for i, want := range []struct{ kafka, http, peer, advertised string }{
		{"127.0.0.1:19092", "127.0.0.1:19644", "127.0.0.1:19093", "example.org:19092"},
		{"127.0.0.1:19102", "127.0.0.1:19654", "127.0.0.1:19103", "example.org:19102"},
		{"127.0.0.1:19112", "127.0.0.1:19664", "127.0.0.1:19113", "example.org:19112"},
	} {
		cfg := plans[i]
		if cfg.NodeID != int32(i+1) || cfg.KafkaAddress != want.kafka || cfg.HTTPAddress != want.http || cfg.Cluster.Address != want.peer || cfg.KafkaAdvertised != want.advertised {
			t.Errorf("node %d: %+v", i+1, cfg.Config)
		}
		if len(cfg.Cluster.InitialVoters) != 3 || cfg.Static["num.partitions"] != "7" || cfg.Static["default.replication.factor"] != "3" {
			t.Errorf("node %d: voters %v, settings %v", i+1, cfg.Cluster.InitialVoters, cfg.Static)
		}
	}
}

func TestDevClusterKeepsItsFreePorts(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	o := devOptions{nodes: 3, kafkaAddr: "127.0.0.1:0", httpAddr: "127.0.0.1:0"}
	first := planFor(t, root, o)
	seen := map[string]bool{}
	for _, cfg := range first {
		for _, address := range []string{cfg.KafkaAddress, cfg.HTTPAddress, cfg.Cluster.Address} {
			if seen[address] {
				t.Errorf("%s twice", address)
			}
			seen[address] = true
		}
	}
	for i, cfg := range planFor(t, root, o) {
		if cfg.KafkaAddress != first[i].KafkaAddress || cfg.HTTPAddress != first[i].HTTPAddress || cfg.Cluster.Address != first[i].Cluster.Address {
			t.Errorf("node %d moved from %s to %s", i+1, first[i].KafkaAddress, cfg.KafkaAddress)
		}
	}
}

func TestDevClusterRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	cluster, alone := t.TempDir(), t.TempDir()
	planFor(t, cluster, devOptions{nodes: 5, kafkaAddr: "127.0.0.1:0", httpAddr: "127.0.0.1:0"})
	cfg, file, err := devConfig(&devOptions{kafkaAddr: "127.0.0.1:0", httpAddr: "127.0.0.1:0"}, alone)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := writeDevFile(cfg, file, devNode{Kafka: "127.0.0.1:1", HTTP: "127.0.0.1:2"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		o    devOptions
		want string
	}{
		{devOptions{nodes: 2}, "use 1, 3 or 5"},
		{devOptions{nodes: 7}, "use 1, 3 or 5"},
		{devOptions{nodes: 1, dataDir: cluster}, "start it with --nodes 5"},
		{devOptions{nodes: 3, dataDir: cluster}, "start it with --nodes 5"},
		{devOptions{nodes: 3, dataDir: alone}, "start it with --nodes 1"},
		{devOptions{nodes: 3, set: []string{"node.id=4"}}, "--nodes chooses it for each node"},
		{devOptions{nodes: 3, set: []string{"log.dirs=/tmp/x"}}, "--nodes chooses it for each node"},
		{devOptions{nodes: 3, kafkaAddr: "127.0.0.1:65530"}, "too high"},
	} {
		tc.o.kafkaAddr, tc.o.httpAddr = orElse(tc.o.kafkaAddr, "127.0.0.1:0"), "127.0.0.1:0"
		if tc.o.dataDir == "" {
			tc.o.dataDir = t.TempDir()
		}
		err := runDev(t.Context(), &tc.o, true, new(bytes.Buffer), new(bytes.Buffer))
		if err == nil || exitCode(err) != exitUsage || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: %v, want a usage error with %q", tc.o, err, tc.want)
		}
	}
}

func orElse(value, other string) string {
	if value == "" {
		return other
	}
	return value
}

func TestLinesOfNodesStayWhole(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &prefixWriter{to: &out, prefix: "node-1 | "}
	for _, part := range []string{"one\ntw", "o\n", "\nthree"} {
		if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	p.flush()
	if want := "node-1 | one\nnode-1 | two\nnode-1 | \nnode-1 | three\n"; out.String() != want || p.lastLine() != "three" {
		t.Errorf("got %q, last %q", out.String(), p.lastLine())
	}
}

func TestReadinessIsHeardOverASocket(t *testing.T) {
	r, err := listenReadiness(2)
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	name, path, _ := strings.Cut(r.environment(), "=")
	t.Setenv(name, path)
	if err := notifyStopping(); err != nil {
		t.Fatal(err)
	}
	if err := notifyReady(); err != nil {
		t.Fatal(err)
	}
	if pid := <-r.pids; pid != os.Getpid() {
		t.Errorf("process %d is ready, want %d", pid, os.Getpid())
	}
	t.Setenv(name, path+".gone")
	if _, isNet := notifyReady().(*net.OpError); isNet || notifyReady() == nil {
		t.Error("a socket that is gone must be reported, and say which")
	}
}
