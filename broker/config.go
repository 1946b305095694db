package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config says everything that one node needs to know before it starts. Where it comes from (flags, a file, defaults) is
// the caller's business. Fixed after New.
type Config struct {
	NodeID    int32  // at least 1
	ClusterID string // "": taken from the data directory, or generated at the first start
	Rack      string

	Directory      string   // root of the node's data: metadata/ and, unless LogDirectories is set, logs/
	LogDirectories []string // where partitions live; default: Directory/logs

	KafkaAddress    string // host:port that Kafka clients dial
	KafkaAdvertised string // host:port told to clients; "": what each client dialled
	HTTPAddress     string // host:port of metrics, health and administration

	Cluster Cluster // how this node finds others; the zero value: it is alone

	// InsecureListeners permits listeners without authentication on addresses that other machines can reach.
	InsecureListeners bool

	// Static holds broker settings by Kafka's names (the catalogue of metadata/config validates them).
	Static map[string]string

	// LogLevel is the level of the logger given to New, so that it can be changed while the node runs. Optional.
	LogLevel *slog.LevelVar
	Version  string // of the binary, for people

	// ShutdownGrace is how long requests in hand may take to finish at a clean stop.
	ShutdownGrace time.Duration
}

// LogDirs returns the directories that hold partitions.
func (c *Config) LogDirs() []string {
	if len(c.LogDirectories) > 0 {
		return c.LogDirectories
	}
	return []string{filepath.Join(c.Directory, "logs")}
}

// MetadataDirectory returns where the node keeps its copy of the metadata log.
func (c *Config) MetadataDirectory() string { return filepath.Join(c.Directory, "metadata") }

// staticSettings returns the broker settings by Kafka's names with those that the node's own settings stand for, so that
// DescribeConfigs shows what is true.
func (c *Config) staticSettings() map[string]string {
	static := map[string]string{}
	maps.Copy(static, c.Static)
	static["node.id"] = strconv.Itoa(int(c.NodeID))
	static["listeners"] = listenerName + "://" + c.KafkaAddress
	static["log.dirs"] = strings.Join(c.LogDirs(), ",")
	if c.KafkaAdvertised != "" {
		static["advertised.listeners"] = listenerName + "://" + c.KafkaAdvertised
	}
	if c.Rack != "" {
		static["broker.rack"] = c.Rack
	}
	if !c.Cluster.Alone() {
		c.Cluster.addStatic(static)
	}
	return static
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if c.NodeID < 1 {
		faults = append(faults, fmt.Errorf("node.id: %d is not a node id, it must be 1 or greater", c.NodeID))
	}
	if c.Directory == "" {
		faults = append(faults, errors.New("data.directory: must name a directory"))
	}
	seen := map[string]bool{}
	for _, dir := range c.LogDirectories {
		if clean := filepath.Clean(dir); seen[clean] {
			faults = append(faults, fmt.Errorf("data.log_directories: %s is named twice", dir))
		} else {
			seen[clean] = true
		}
	}
	faults = append(faults,
		checkAddress("kafka.address", c.KafkaAddress, false), checkAddress("http.address", c.HTTPAddress, false),
		checkAddress("kafka.advertised", c.KafkaAdvertised, true))
	if !c.InsecureListeners {
		faults = append(faults, checkLoopback("kafka.address", c.KafkaAddress), checkLoopback("http.address", c.HTTPAddress))
	}
	faults = append(faults, c.Cluster.validate(c.NodeID, c.InsecureListeners))
	if host, _, err := net.SplitHostPort(c.KafkaAddress); err == nil && !c.Cluster.Alone() && c.KafkaAdvertised == "" && isAnyHost(host) {
		faults = append(faults, fmt.Errorf("kafka.advertised: a node of a cluster must say at which address clients reach it, and %q is none", c.KafkaAddress))
	}
	if c.ShutdownGrace < 0 {
		faults = append(faults, errors.New("shutdown.grace_ms: must not be negative"))
	}
	return errors.Join(faults...)
}

func checkAddress(setting, address string, optional bool) error {
	if address == "" && optional {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port", setting, address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return fmt.Errorf("%s: %q is not a port", setting, port)
	}
	if optional && (host == "" || port == "0") {
		return fmt.Errorf("%s: %q must name a host and a port that clients can dial", setting, address)
	}
	return nil
}

// checkLoopback holds the rule that every listener needs authentication or is loopback: no listener has
// authentication yet, so none may be reached from another machine unless the operator says so.
func checkLoopback(setting, address string) error {
	if _, _, err := net.SplitHostPort(address); err != nil || isLoopback(address) {
		return nil // checkAddress has said what is wrong
	}
	return fmt.Errorf("%s: %q can be reached from other machines, but this version has no authentication yet: use a loopback address such as 127.0.0.1, or set security.insecure_listeners to true on a network that you trust", setting, address)
}

// isLoopback reports that only this machine can dial the address.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
