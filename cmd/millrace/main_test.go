package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"millrace": main})
}

// TestScripts runs testdata/script/*.txtar: each gets a cluster of its own, whose address is in $BOOTSTRAP.
func TestScripts(t *testing.T) {
	t.Parallel()
	t.Run("fake", func(t *testing.T) { runScripts(t, "script", startFake) })
	t.Run("fake faults", func(t *testing.T) { runScripts(t, "fake", startFake) })
	t.Run("millrace", func(t *testing.T) { runScripts(t, "script", startMillrace) })
	t.Run("cluster", func(t *testing.T) { runScripts(t, "cluster", startCluster) })
}

func runScripts(t *testing.T, dir string, start func(*testscript.Env) error) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", dir),
		Setup: func(env *testscript.Env) error {
			if err := start(env); err != nil {
				return err
			}
			env.Setenv("MILLRACE_BROKERS", env.Getenv("BOOTSTRAP"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			env.Setenv("HOME", env.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":       exits,
			"member":      member,
			"transaction": transaction,
			"listen":      listen,
			"dropproduce": dropProduce,
			"sasl":        saslCluster,
			"node":        node,
		},
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
	})
}

// clusterValue is the key of the script's fake cluster among its values.
type clusterValue struct{}

// startFake starts an in-process cluster of one broker.
func startFake(env *testscript.Env) error {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DefaultNumPartitions(1))
	if err != nil {
		return err
	}
	env.Defer(cluster.Close)
	env.Values[clusterValue{}] = cluster
	env.Setenv("BOOTSTRAP", cluster.ListenAddrs()[0])
	env.Setenv("BROKER", "0")
	return nil
}

// startMillrace starts this binary as a broker.
func startMillrace(env *testscript.Env) error {
	ready, err := startDev(env, "--ephemeral", "--set", "group.initial.rebalance.delay.ms=0")
	if err != nil {
		return err
	}
	env.Setenv("BOOTSTRAP", ready[0].Kafka)
	env.Setenv("BROKER", "1")
	return nil
}

// startCluster starts three nodes; the command node of scripts ends them and brings them back.
func startCluster(env *testscript.Env) error {
	ready, err := startDev(env, "--nodes", "3", "--data-dir", filepath.Join(env.WorkDir, "data"))
	if err != nil {
		return err
	}
	env.Values[nodesValue{}] = ready
	env.Setenv("BOOTSTRAP", ready[0].Kafka+","+ready[1].Kafka+","+ready[2].Kafka)
	env.Setenv("HTTP1", ready[0].HTTP)
	return nil
}

// nodesValue is the key of the nodes of a script's cluster among its values.
type nodesValue struct{}

// node kill|crash|stop|start ID: kill -9 or SIGTERM and wait until the others know it (crash: only for the end), or start the node
// again from its millrace.yaml.
func node(ts *testscript.TestScript, neg bool, args []string) {
	nodes, _ := ts.Value(nodesValue{}).([]devNode)
	if neg || len(args) != 2 || nodes == nil {
		ts.Fatalf("usage: node kill|crash|stop|start ID")
	}
	id, err := strconv.Atoi(args[1])
	ts.Check(err)
	n := &nodes[id-1]
	if args[0] == "start" {
		binary, err := os.Executable()
		ts.Check(err)
		cmd := exec.Command(binary, "broker", "start", "-c", n.Config)
		cmd.Args[0] = "millrace"
		ts.Check(cmd.Start())
		n.PID = cmd.Process.Pid
		ts.Defer(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
		return
	}
	signal := syscall.SIGKILL
	if args[0] == "stop" {
		signal = syscall.SIGTERM
	}
	ts.Check(syscall.Kill(n.PID, signal))
	for syscall.Kill(n.PID, 0) == nil { // until millrace dev has waited for it
		time.Sleep(5 * time.Millisecond)
	}
	for args[0] != "crash" && !fencedEverywhere(ts, nodes, n.ID) {
		time.Sleep(20 * time.Millisecond)
	}
}

// fencedEverywhere reports that every other node knows that one of them is away.
func fencedEverywhere(ts *testscript.TestScript, nodes []devNode, id int32) bool {
	for _, n := range nodes {
		if n.ID == id {
			continue
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(n.Kafka))
		ts.Check(err)
		list, _, err := members(context.Background(), client)
		client.Close()
		if slices.ContainsFunc(list, func(m clusterMember) bool { return m.id == id && !m.fenced }) || err != nil {
			return false
		}
	}
	return true
}

// startDev runs millrace dev and waits for the line that says it is ready.
func startDev(env *testscript.Env, args ...string) ([]devNode, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dev := exec.Command(binary, append([]string{"dev", "--kafka-addr", "127.0.0.1:0", "--http-addr", "127.0.0.1:0", "--format", "json"}, args...)...)
	dev.Args[0] = "millrace" // the test binary becomes the command of that name
	var stderr bytes.Buffer
	dev.Stderr = &stderr
	out, err := dev.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := dev.Start(); err != nil {
		return nil, err
	}
	env.Defer(func() {
		dev.Process.Signal(os.Interrupt)
		dev.Wait()
	})
	var ready struct{ Nodes []devNode }
	if err := json.NewDecoder(out).Decode(&ready); err != nil || len(ready.Nodes) == 0 {
		return nil, fmt.Errorf("millrace dev did not start: %w: %s", err, stderr.String())
	}
	return ready.Nodes, nil
}

// exits N COMMAND... runs the command and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// member GROUP TOPIC joins the group as client "worker" and stays until the script ends.
func member(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: member GROUP TOPIC")
	}
	joined := make(chan struct{})
	var once sync.Once // a member that is kicked joins again
	client, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("BOOTSTRAP")), kgo.ClientID("worker"), kgo.InstanceID("worker-1"),
		kgo.ConsumerGroup(args[0]), kgo.ConsumeTopics(args[1]), kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { once.Do(func() { close(joined) }) }))
	ts.Check(err)
	ts.Defer(client.Close)
	<-joined
}

// transaction TOPIC VALUE commit|abort|open writes one record and, unless the transaction is left open, a control record behind it.
func transaction(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: transaction TOPIC VALUE commit|abort|open")
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(ts.Getenv("BOOTSTRAP")), kgo.TransactionalID("script-"+args[1]), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	ts.Check(err)
	defer client.Close()
	ctx := context.Background()
	ts.Check(client.BeginTransaction())
	ts.Check(client.ProduceSync(ctx, &kgo.Record{Topic: args[0], Value: []byte(args[1])}).FirstErr())
	if args[2] != "open" {
		ts.Check(client.EndTransaction(ctx, kgo.TransactionEndTry(args[2] == "commit")))
	}
}

// listen http|silent|closing NAME starts a listener that is no Kafka broker and puts its address into $NAME.
func listen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: listen KIND NAME")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	switch args[0] {
	case "http":
		server := &http.Server{}
		go server.Serve(listener)
		ts.Defer(func() { server.Close() })
	case "closing":
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		ts.Defer(func() { listener.Close() })
	case "silent": // as the address of a paused process: connections are made, and nobody is there
		ts.Defer(func() { listener.Close() })
	case "none":
		ts.Check(listener.Close())
	default:
		ts.Fatalf("listen: unknown kind %s", args[0])
	}
	ts.Setenv(args[1], listener.Addr().String())
}

// dropproduce makes the cluster close the connection at every Produce request, without an answer.
func dropProduce(ts *testscript.TestScript, neg bool, args []string) {
	cluster := ts.Value(clusterValue{}).(*kfake.Cluster)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("dropped"), true
	})
}

// sasl NAME starts a cluster that asks for user admin, password secret, and puts its address into $NAME.
func saslCluster(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sasl NAME")
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("SCRAM-SHA-512", "admin", "secret"), kfake.Superuser("PLAIN", "admin", "secret"), kfake.User("PLAIN", "guest", "guest"))
	ts.Check(err)
	ts.Defer(cluster.Close)
	ts.Setenv(args[0], cluster.ListenAddrs()[0])
}

// TestHelpOfEveryCommand: each visible command has a short text, and each that does something has an example.
func TestHelpOfEveryCommand(t *testing.T) {
	t.Parallel()
	var walk func(h commandHelp)
	walk = func(h commandHelp) {
		if h.Short == "" {
			t.Errorf("%s: no short text", h.Command)
		}
		if h.Example == "" && len(h.Commands) == 0 {
			t.Errorf("%s: no example", h.Command)
		}
		for _, c := range h.Commands {
			if c.Command != "millrace help" {
				walk(c)
			}
		}
	}
	walk(describeCommand(newRootCommand()))
}

// TestSettingEnvironmentNames: two keys never share a variable.
func TestSettingEnvironmentNames(t *testing.T) {
	t.Parallel()
	seen := map[string]string{"MILLRACE_PROFILE": "profile", "MILLRACE_CONFIG": "config-file"}
	for _, d := range settingKeys() {
		name := d.environmentName()
		if other, taken := seen[name]; taken {
			t.Errorf("%s stands for %s and %s", name, other, d.Key)
		}
		seen[name] = d.Key
		if d.Default != "" {
			if err := checkSetting(d.Key, d.Default); err != nil {
				t.Errorf("default of %s: %v", d.Key, err)
			}
		}
	}
}
