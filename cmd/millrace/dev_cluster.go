package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
)

// runDevCluster runs several nodes, each in a process of its own, until it is told to stop or the last of them has ended.
func runDevCluster(ctx context.Context, o *devOptions, root string, asJSON bool, stdout, stderr io.Writer) error {
	// Linux ties the children's end to that of the thread that made them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	root, err := filepath.Abs(root)
	if err != nil {
		return usagef("--data-dir %s: %v", o.dataDir, err)
	}
	plans, err := planDevCluster(o, root)
	if err != nil {
		return usagef("%v", err)
	}
	ready, err := listenReadiness(len(plans))
	if err != nil {
		return err
	}
	defer ready.close()
	children := newDevChildren(stderr, ready)
	defer children.stop()
	for _, cfg := range plans {
		if err := startDevNode(cfg, root, children); err != nil {
			return err
		}
	}
	if err := children.awaitReady(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	announceCluster(stdout, children.nodes(), o, asJSON)
	if o.demo {
		demo, err := startDemo(ctx, children.addresses()...)
		if err != nil {
			return err
		}
		defer demo.stop()
	}
	return children.watch(ctx)
}

func startDevNode(cfg *nodeConfig, root string, children *devChildren) error {
	file := devFile(root, int(cfg.NodeID))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	node := devNode{ID: cfg.NodeID, Kafka: cfg.KafkaAddress, HTTP: cfg.HTTPAddress, DataDir: cfg.Directory, Config: file}
	if err := writeDevFile(cfg, file, node); err != nil {
		return err
	}
	return children.start(node)
}

func announceCluster(stdout io.Writer, nodes []devNode, o *devOptions, asJSON bool) {
	if asJSON {
		line, _ := json.Marshal(map[string][]devNode{"nodes": nodes})
		fmt.Fprintf(stdout, "%s\n", line)
		return
	}
	greetCluster(stdout, nodes, o)
}

func greetCluster(w io.Writer, nodes []devNode, o *devOptions) {
	fmt.Fprintf(w, "Millrace %s is ready: %d nodes.\n\n", softwareVersion(), len(nodes))
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "  NODE\tPID\tKAFKA\tHTTP\tCONFIGURATION")
	for _, n := range nodes {
		fmt.Fprintf(t, "  %d\t%d\t%s\thttp://%s\t%s\n", n.ID, n.PID, n.Kafka, n.HTTP, n.Config)
	}
	_ = t.Flush()
	if o.ephemeral {
		fmt.Fprintln(w, "\nData is removed at the stop (--ephemeral).")
	}
	at := ""
	if nodes[0].Kafka != "127.0.0.1:9092" {
		at = " -X brokers=" + nodes[0].Kafka
	}
	fmt.Fprintf(w, "\nTry it from another terminal:\n")
	if o.demo {
		fmt.Fprintf(w, "  millrace consume rides -o end%s\n", at)
	} else {
		fmt.Fprintf(w, "  millrace topic create greetings -r 3%s\n  echo hello | millrace produce greetings%s\n", at, at)
	}
	fmt.Fprintf(w, "  millrace cluster health --watch%s\n", at)
	last := nodes[len(nodes)-1]
	fmt.Fprintf(w, "\nKill one and bring it back:\n  kill -9 %d\n  %s\n\nCtrl-C stops them all.\n", last.PID, comeback(last))
}

// comeback is the command that starts a node again that has ended.
func comeback(n devNode) string {
	config := n.Config
	if strings.ContainsAny(config, " '\"$") {
		config = "'" + strings.ReplaceAll(config, "'", `'\''`) + "'"
	}
	return "millrace broker start -c " + config
}
