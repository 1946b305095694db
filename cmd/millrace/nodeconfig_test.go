package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "millrace.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNodeConfigFaultsSayWhereAndWhat(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"unknown key", "kafka:\n  adress: 127.0.0.1:1\n", "line 2: kafka.adress: unknown setting (did you mean kafka.address?)"},
		{"unknown section", "kafak:\n  address: 127.0.0.1:1\n", "line 1: kafak: unknown section"},
		{"unknown broker setting", "broker:\n  num.partition: 3\n", "line 2: num.partition: unknown setting (did you mean num.partitions?)"},
		{"bad number", "node:\n  id: one\n", `line 2: node.id: "one" is not a whole number`},
		{"bad broker value", "broker:\n  num.partitions: many\n", "num.partitions"},
		{"twice", "node:\n  id: 1\n  id: 2\n", "set twice, first on line 2"},
		{"not a mapping", "- a\n- b\n", "line 1: want lines of key: value"},
		{"not yaml", "node: [\n", "yaml"},
		{"open listener", "kafka:\n  address: 0.0.0.0:9092\n", "no authentication yet"},
		{"protocol", "broker:\n  listeners: SSL://127.0.0.1:9092\n", "only PLAINTEXT"},
		{"cluster setting without a cluster", "cluster:\n  join: 127.0.0.1:1\n", "cluster.join: needs cluster.address"},
		{"no way into the cluster", "cluster:\n  address: 127.0.0.1:1\n", "cluster.initial_voters: name the first voters"},
		{"two ways into the cluster", "cluster:\n  address: 127.0.0.1:1\n  initial_voters: 1@127.0.0.1:1\n  join: 127.0.0.1:2\n", "not both"},
		{"even voters", "cluster:\n  address: 127.0.0.1:1\n  initial_voters: 1@127.0.0.1:1,2@127.0.0.1:2\n", "2 voters: use 1, 3 or 5"},
		{"voter twice", "cluster:\n  address: 127.0.0.1:1\n  initial_voters: 1@127.0.0.1:1,2@127.0.0.1:2,2@127.0.0.1:2\n", "node 2 is named twice"},
		{"voter without a port", "cluster:\n  address: 127.0.0.1:1\n  initial_voters: 1@127.0.0.1:1,2@b,3@c:3\n", `cluster.initial_voters: "b" is not host:port`},
		{"not a voter", "cluster:\n  initial_voters: a:1\n", `"a:1" is not ID@HOST:PORT`},
		{"own address in the voters", "cluster:\n  address: 127.0.0.1:1\n  initial_voters: 1@127.0.0.1:2\n", "node 1 is this node, whose address is 127.0.0.1:1"},
		{"own address under another id", "node:\n  id: 2\ncluster:\n  address: 127.0.0.1:1\n  initial_voters: 1@127.0.0.1:1\n", "its node.id is 2, not 1"},
		{"joins itself", "cluster:\n  address: 127.0.0.1:1\n  join: 127.0.0.1:1\n", "names only this node itself"},
		{"nobody can dial it", "cluster:\n  address: 0.0.0.0:1\n  token: s\n  join: 127.0.0.1:2\n", "or set cluster.advertised"},
		{"open to everybody", "cluster:\n  address: 10.0.0.1:1\n  join: 10.0.0.2:1\n", "set cluster.token or cluster.token_file"},
		{"two tokens", "cluster:\n  address: 10.0.0.1:1\n  join: 10.0.0.2:1\n  token: a\n  token_file: b\n", "not both"},
		{"where clients reach it", "security:\n  insecure_listeners: true\nkafka:\n  address: 0.0.0.0:9092\ncluster:\n  address: 10.0.0.1:1\n  join: 10.0.0.2:1\n", "kafka.advertised: a node of a cluster must say"},
		{"node id zero", "node:\n  id: 0\n", "must be 1 or greater"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := loadNodeConfig(writeConfig(t, tc.text), nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
		})
	}
}

func TestNodeConfigReportsEveryFaultAtOnce(t *testing.T) {
	_, err := loadNodeConfig(writeConfig(t, "node:\n  id: x\nnonsense: 1\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "node.id") || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("want both faults, got %v", err)
	}
}

func TestNodeConfigPrecedenceAndOrigins(t *testing.T) {
	file := writeConfig(t, "node:\n  id: 3\n  rack: a\nbroker:\n  num.partitions: 4\n  log.dirs: one,two\n")
	cfg, err := loadNodeConfig(file, []string{"node.rack=b", "auto.create.topics.enable=false"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.NodeID != 3 || cfg.Rack != "b" || cfg.Static["num.partitions"] != "4" || cfg.Static["auto.create.topics.enable"] != "false" {
		t.Errorf("got %+v", cfg.Config)
	}
	if base := filepath.Dir(file); len(cfg.LogDirectories) != 2 || cfg.LogDirectories[0] != filepath.Join(base, "one") {
		t.Errorf("relative paths must be relative to the file: %v", cfg.LogDirectories)
	}
	for key, want := range map[string]string{"node.id": "millrace.yaml line 2", "node.rack": "--set", "http.address": "default", "num.partitions": "millrace.yaml line 5"} {
		if cfg.origins[key] != want {
			t.Errorf("origin of %s: %q, want %q", key, cfg.origins[key], want)
		}
	}
}

func TestWrittenNodeConfigReadsBack(t *testing.T) {
	cfg := newNodeConfig()
	if err := cfg.setAssignments([]string{"node.id=2", "data.directory=/srv/it's \"here\"", "num.partitions=6", "listeners=PLAINTEXT://127.0.0.1:19092", "logging.level=debug",
		"cluster.address=10.0.0.2:9192", "cluster.initial_voters=1@10.0.0.1:9192, 2@10.0.0.2:9192,3@10.0.0.3:9192", "cluster.token=secret"}); err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := cfg.writeYAML(&text); err != nil {
		t.Fatal(err)
	}
	back, err := loadNodeConfig(writeConfig(t, text.String()), nil)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text.String())
	}
	for _, s := range nodeSettings() {
		if s.get(cfg) != s.get(back) {
			t.Errorf("%s: wrote %q, read %q", s.path, s.get(cfg), s.get(back))
		}
	}
	if back.Static["num.partitions"] != "6" {
		t.Errorf("broker settings: %v", back.Static)
	}
}

func TestSetRefusesWhatIsNotAnAssignment(t *testing.T) {
	for _, pair := range []string{"novalue", "=x", "unknown.key=1"} {
		if err := newNodeConfig().setAssignments([]string{pair}); err == nil {
			t.Errorf("%q was accepted", pair)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	cfg := newNodeConfig()
	if err := cfg.set("cluster.token", "hunter2", "--set"); err != nil {
		t.Fatal(err)
	}
	for _, s := range nodeSettings() {
		if strings.Contains(s.shown(cfg), "hunter2") {
			t.Errorf("%s shows the secret", s.path)
		}
	}
}

func TestExampleOfThreeMachinesIsValid(t *testing.T) {
	cfg, err := loadNodeConfig("millrace.example.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Cluster.InitialVoters) != 3 || cfg.Cluster.TokenFile != "token" {
		t.Errorf("got %+v", cfg.Cluster)
	}
}
