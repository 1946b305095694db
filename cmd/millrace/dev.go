package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/millrace-io/millrace/broker"
)

// devOptions are the flags of `millrace dev`: a contract that other tools build on.
type devOptions struct {
	dataDir, kafkaAddr, httpAddr string
	nodes                        int
	set                          []string
	ephemeral, demo              bool
}

// devNode is one node in the line that `millrace dev --format json` prints once it is ready.
type devNode struct {
	ID      int32  `json:"id"`
	PID     int    `json:"pid"`
	Kafka   string `json:"kafka"`
	HTTP    string `json:"http"`
	DataDir string `json:"data_dir"`
	Config  string `json:"config"`
}

func newDevCommand() *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole Millrace for development: one process, or a cluster of several",
		Long: `Runs everything in one process with embedded defaults, ready in well under a second. Data lives under --data-dir and
is there again at the next start. Ctrl-C stops it cleanly.

With --nodes 3 it is a cluster: three processes, each with a millrace.yaml of its own under --data-dir, so that one can be
killed and brought back with 'millrace broker start -c'. Topics have three replicas unless told otherwise.`,
		Example: `  millrace dev
  millrace dev --nodes 3                             # a cluster: kill -9 one of its processes and bring it back
  millrace dev --demo                                # with a live sample stream to look at
  millrace dev --ephemeral --kafka-addr 127.0.0.1:0  # leaves nothing behind, any free port
  millrace dev --set num.partitions=6 --format json  # for scripts: one line of JSON when ready`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, _ := cmd.Flags().GetString("format")
			return runDev(cmd.Context(), &o, format == "json" || format == "jsonl", cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.dataDir, "data-dir", "millrace-data", "directory that keeps the data")
	f.StringVar(&o.kafkaAddr, "kafka-addr", "127.0.0.1:9092", "where Kafka clients connect, host:port")
	f.StringVar(&o.httpAddr, "http-addr", "127.0.0.1:9644", "where metrics, health and administration are served, host:port")
	f.IntVar(&o.nodes, "nodes", 1, "number of nodes: 1 (in this process), 3 or 5 (a process each; the addresses of node i lie 10*(i-1) ports above those given)")
	f.StringArrayVar(&o.set, "set", nil, "KEY=VALUE, repeatable: a broker setting by Kafka's name, or a node setting by its path in millrace.yaml")
	f.BoolVar(&o.ephemeral, "ephemeral", false, "keep nothing: data goes to a temporary directory that is removed at the stop (after kill -9: at the next such start)")
	f.BoolVar(&o.demo, "demo", false, "feed a live sample stream (positions of rides) with a consumer group reading it")
	return cmd
}

func runDev(ctx context.Context, o *devOptions, asJSON bool, stdout, stderr io.Writer) error {
	if err := checkDevNodes(o.nodes); err != nil {
		return err
	}
	root := o.dataDir
	if o.ephemeral {
		dir, err := newEphemeralDir()
		if err != nil {
			return err
		}
		defer dir.remove()
		root = dir.path
	}
	if o.nodes > 1 {
		return runDevCluster(ctx, o, root, asJSON, stdout, stderr)
	}
	if err := checkWritten(root, 1); err != nil {
		return err
	}
	cfg, file, err := devConfig(o, root)
	if err != nil {
		return usagef("%v", err)
	}
	logger := cfg.logger(stderr)
	b, err := broker.New(cfg.Config, logger)
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return err
	}
	node := devNode{ID: cfg.NodeID, PID: os.Getpid(), Kafka: b.KafkaAddress(), HTTP: b.HTTPAddress(), DataDir: cfg.Directory, Config: file}
	if err := writeDevFile(cfg, file, node); err != nil {
		return errors.Join(err, b.Close())
	}
	if asJSON {
		line, _ := json.Marshal(map[string][]devNode{"nodes": {node}})
		fmt.Fprintf(stdout, "%s\n", line)
	} else {
		greet(stdout, node, o)
	}
	if o.demo {
		demo, err := startDemo(ctx, node.Kafka)
		if err != nil {
			return errors.Join(err, b.Close())
		}
		defer demo.stop()
	}
	err = b.Wait(ctx)
	return errors.Join(err, b.Close())
}

// devConfig turns the flags into the configuration of node 1 and says where its millrace.yaml belongs.
func devConfig(o *devOptions, root string) (*nodeConfig, string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, "", fmt.Errorf("--data-dir %s: %w", o.dataDir, err)
	}
	cfg := newNodeConfig()
	directory := filepath.Join(root, "node-1")
	for _, given := range []struct{ path, value, flag string }{
		{"logging.level", "warn", "millrace dev"},
		{"data.directory", directory, "--data-dir"},
		{"kafka.address", o.kafkaAddr, "--kafka-addr"},
		{"http.address", o.httpAddr, "--http-addr"},
	} {
		if err := cfg.set(given.path, given.value, given.flag); err != nil {
			return nil, "", fmt.Errorf("%s: %w", given.flag, err)
		}
	}
	if err := cfg.setAssignments(o.set); err != nil {
		return nil, "", err
	}
	if err := cfg.Validate(); err != nil {
		return nil, "", err
	}
	return cfg, filepath.Join(directory, "millrace.yaml"), nil
}

// writeDevFile leaves the configuration for `millrace broker start -c`, with the ports that were really taken.
func writeDevFile(cfg *nodeConfig, file string, node devNode) error {
	written := *cfg
	written.KafkaAddress, written.HTTPAddress = node.Kafka, node.HTTP
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // it may hold a token
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer f.Close()
	fmt.Fprintf(f, "# Written by millrace dev at each start. Start the same node again with: millrace broker start -c %s\n", file)
	if err := written.writeYAML(f); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

func greet(w io.Writer, node devNode, o *devOptions) {
	fmt.Fprintf(w, "Millrace %s is ready.\n\n  Kafka   %s\n  HTTP    http://%s/metrics\n", softwareVersion(), node.Kafka, node.HTTP)
	if o.ephemeral {
		fmt.Fprintln(w, "  Data    removed at the stop (--ephemeral)")
	} else {
		fmt.Fprintf(w, "  Data    %s\n", node.DataDir)
	}
	at := ""
	if node.Kafka != "127.0.0.1:9092" {
		at = " -X brokers=" + node.Kafka
	}
	fmt.Fprintf(w, "\nTry it from another terminal:\n")
	if o.demo {
		fmt.Fprintf(w, "  millrace consume rides -o end%s\n  millrace group lag rides-dashboard%s\n", at, at)
	} else {
		fmt.Fprintf(w, "  millrace topic create greetings%s\n  echo hello | millrace produce greetings%s\n  millrace consume greetings -o start -e%s\n", at, at, at)
	}
	fmt.Fprintf(w, "\nCtrl-C stops it.\n")
}
