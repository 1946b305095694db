package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-io/millrace/broker"
)

// nodeSetting is one key of millrace.yaml: its path in the file, Kafka's names for the same thing, and how it gets into
// and out of the configuration.
type nodeSetting struct {
	path     string
	aliases  []string // Kafka's broker settings that say the same
	value    string   // what the value is, for `config keys`
	help     string
	fallback string
	secret   bool // never shown
	set      func(*nodeConfig, string) error
	get      func(*nodeConfig) string
}

// shown is the value as people may see it.
func (s nodeSetting) shown(c *nodeConfig) string {
	if v := s.get(c); !s.secret || v == "" {
		return v
	}
	return "(hidden)"
}

// nodeSettings is the one list of node settings; files, flags, help and the origins of values are made from it.
func nodeSettings() []nodeSetting {
	return slices.Concat(identitySettings(), clusterSettings(), processSettings())
}

// identitySettings say who the node is.
func identitySettings() []nodeSetting {
	return []nodeSetting{
		{
			path: "node.id", aliases: []string{"broker.id"}, value: "int", fallback: "1",
			help: "Number of this node, unique in its cluster and fixed for the life of its data directory.",
			set: func(c *nodeConfig, v string) error {
				n, err := strconv.ParseInt(v, 10, 32)
				if err != nil {
					return fmt.Errorf("%q is not a whole number", v)
				}
				c.NodeID = int32(n)
				return nil
			},
			get: func(c *nodeConfig) string { return strconv.Itoa(int(c.NodeID)) },
		},
		textSetting("node.rack", "string", "", "Failure domain of the node; replicas of a partition are spread over racks.",
			func(c *nodeConfig) *string { return &c.Rack }, "broker.rack"),
		textSetting("cluster.id", "string", "", "Id of the cluster. Empty: taken from the data directory, or generated at the first start.",
			func(c *nodeConfig) *string { return &c.ClusterID }),
	}
}

// processSettings say where the node keeps its data and how it is reached.
func processSettings() []nodeSetting {
	return []nodeSetting{
		textSetting("data.directory", "path", "millrace-data", "Root of the node's data: metadata/ and, unless data.log_directories is set, logs/.",
			func(c *nodeConfig) *string { return &c.Directory }),
		{
			path: "data.log_directories", aliases: []string{"log.dirs", "log.dir"}, value: "list of paths",
			help: "Directories that hold partitions, one per disk. When one fails its partitions go offline and the others go on.",
			set:  func(c *nodeConfig, v string) error { c.LogDirectories = broker.ParseList(v); return nil },
			get:  func(c *nodeConfig) string { return strings.Join(c.LogDirectories, ",") },
		},
		listenerSetting("kafka.address", "127.0.0.1:9092", "Where Kafka clients connect.",
			func(c *nodeConfig) *string { return &c.KafkaAddress }, "listeners"),
		listenerSetting("kafka.advertised", "", "Address told to Kafka clients. Empty: the address that each client dialled.",
			func(c *nodeConfig) *string { return &c.KafkaAdvertised }, "advertised.listeners"),
		textSetting("http.address", "host:port", "127.0.0.1:9644", "Where /metrics, /healthz and administration are served.",
			func(c *nodeConfig) *string { return &c.HTTPAddress }),
		{
			path: "security.insecure_listeners", value: "boolean", fallback: "false",
			help: "Permits listeners without authentication on addresses that other machines can reach.",
			set: func(c *nodeConfig, v string) error {
				b, err := strconv.ParseBool(v)
				if err != nil {
					return fmt.Errorf("%q is neither true nor false", v)
				}
				c.InsecureListeners = b
				return nil
			},
			get: func(c *nodeConfig) string { return strconv.FormatBool(c.InsecureListeners) },
		},
		{
			path: "logging.level", value: "debug, info, warn or error", fallback: "info", help: "What is worth a line on standard error.",
			set: func(c *nodeConfig, v string) error {
				var level slog.Level
				if err := level.UnmarshalText([]byte(v)); err != nil {
					return fmt.Errorf("%q is none of debug, info, warn, error", v)
				}
				c.logLevel = v
				return nil
			},
			get: func(c *nodeConfig) string { return c.logLevel },
		},
		{
			path: "logging.format", value: "text or json", fallback: "text", help: "Form of the log lines.",
			set: func(c *nodeConfig, v string) error {
				if v != "text" && v != "json" {
					return fmt.Errorf("%q is neither text nor json", v)
				}
				c.logFormat = v
				return nil
			},
			get: func(c *nodeConfig) string { return c.logFormat },
		},
		{
			path: "shutdown.grace_ms", value: "milliseconds", fallback: "5000",
			help: "How long requests in hand may take to finish at a clean stop.",
			set: func(c *nodeConfig, v string) error {
				n, err := strconv.ParseInt(v, 10, 32)
				if err != nil || n < 0 {
					return fmt.Errorf("%q is not a number of milliseconds", v)
				}
				c.ShutdownGrace = time.Duration(n) * time.Millisecond
				return nil
			},
			get: func(c *nodeConfig) string { return strconv.FormatInt(c.ShutdownGrace.Milliseconds(), 10) },
		},
	}
}

// findNodeSetting looks a key up by its path or one of Kafka's names for it.
func findNodeSetting(key string) (nodeSetting, bool) {
	all := nodeSettings()
	i := slices.IndexFunc(all, func(s nodeSetting) bool { return s.path == key || slices.Contains(s.aliases, key) })
	if i < 0 {
		return nodeSetting{}, false
	}
	return all[i], true
}

func textSetting(path, value, fallback, help string, field func(*nodeConfig) *string, aliases ...string) nodeSetting {
	return nodeSetting{
		path: path, aliases: aliases, value: value, help: help, fallback: fallback,
		set: func(c *nodeConfig, v string) error { *field(c) = v; return nil },
		get: func(c *nodeConfig) string { return *field(c) },
	}
}

// listenerSetting is the setting of one address; Kafka's form PLAINTEXT://host:port is understood too.
func listenerSetting(path, fallback, help string, field func(*nodeConfig) *string, alias string) nodeSetting {
	s := textSetting(path, "host:port", fallback, help, field, alias)
	s.set = func(c *nodeConfig, v string) error {
		protocol, address, ok := strings.Cut(v, "://")
		switch {
		case !ok:
			address = v
		case protocol != "PLAINTEXT":
			return fmt.Errorf("%s: only PLAINTEXT listeners exist in this version", v)
		}
		if strings.Contains(address, ",") {
			return fmt.Errorf("%s: one listener is all this version has", v)
		}
		*field(c) = address
		return nil
	}
	return s
}
