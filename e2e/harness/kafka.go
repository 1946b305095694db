package harness

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// KafkaConfig is what a test chooses of an Apache Kafka it starts.
type KafkaConfig struct {
	DataDir  string            // default: a temporary directory
	Settings map[string]string // server.properties
}

// Kafka is one Apache Kafka broker that is its own KRaft controller.
type Kafka struct {
	t          testing.TB
	address    string
	properties string
	classpath  string
	logPath    string
	dataDir    string
	process    *Process
}

// jvmFlags are those of Kafka's own kafka-run-class.sh and kafka-server-start.sh.
var jvmFlags = strings.Fields("-server -Xmx1G -Xms1G -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 " +
	"-XX:+ExplicitGCInvokesConcurrent -XX:MaxInlineLevel=15 -Djava.awt.headless=true")

// StartKafka formats and starts one node on free loopback ports and returns once it listens. It is stopped at the end
// of the test.
func StartKafka(t testing.TB, config KafkaConfig) *Kafka {
	t.Helper()
	work := t.TempDir()
	if config.DataDir == "" {
		config.DataDir = filepath.Join(work, "data")
	}
	k := &Kafka{
		t: t, address: FreeAddress(t), classpath: Classpath(t), dataDir: config.DataDir,
		properties: filepath.Join(work, "server.properties"), logPath: filepath.Join(logDir(t), "kafka.log"),
	}
	text := kafkaProperties(k.address, FreeAddress(t), config)
	if err := os.WriteFile(k.properties, []byte(text), 0o644); err != nil {
		t.Fatalf("write server.properties: %v", err)
	}
	format := k.java("kafka.tools.StorageTool", "format", "--standalone", "-t", "MillraceOracleClusterA", "-c", k.properties)
	if out, err := format.CombinedOutput(); err != nil {
		t.Fatalf("format the storage of Kafka: %v\n%s", err, out)
	}
	k.Restart()
	t.Cleanup(k.Stop)
	return k
}

func kafkaProperties(address, controller string, config KafkaConfig) string {
	settings := map[string]string{
		"process.roles":                                    "broker,controller",
		"node.id":                                          "1",
		"controller.quorum.bootstrap.servers":              controller,
		"listeners":                                        "PLAINTEXT://" + address + ",CONTROLLER://" + controller,
		"advertised.listeners":                             "PLAINTEXT://" + address + ",CONTROLLER://" + controller,
		"controller.listener.names":                        "CONTROLLER",
		"inter.broker.listener.name":                       "PLAINTEXT",
		"listener.security.protocol.map":                   "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
		"log.dirs":                                         config.DataDir,
		"offsets.topic.replication.factor":                 "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
	}
	for key, value := range config.Settings {
		settings[key] = value
	}
	lines := make([]string, 0, len(settings))
	for key, value := range settings {
		lines = append(lines, fmt.Sprintf("%s=%s\n", key, value))
	}
	sort.Strings(lines)
	return strings.Join(lines, "")
}

// Restart starts the broker after Stop or Kill and returns once it listens.
func (k *Kafka) Restart() {
	k.t.Helper()
	cmd := k.java("kafka.Kafka", k.properties)
	k.process = startProcess(k.t, "kafka", cmd, k.logPath)
	ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
	defer cancel()
	if err := awaitListening(ctx, k.address, k.process.Gone()); err != nil {
		k.t.Fatalf("kafka: %v; its log:\n%s", err, tail(k.logPath, 40))
	}
}

func (k *Kafka) java(class string, args ...string) *exec.Cmd {
	flags := append([]string{}, jvmFlags...)
	flags = append(flags, JavaLogging(k.t), "-cp", k.classpath, class)
	return exec.Command("java", append(flags, args...)...)
}

// Name says which server this is, for messages.
func (k *Kafka) Name() string { return "kafka" }

// Address is the broker's listener, HOST:PORT.
func (k *Kafka) Address() string { return k.address }

// DataDir is the broker's log directory.
func (k *Kafka) DataDir() string { return k.dataDir }

// PID is the id of the running process.
func (k *Kafka) PID() int { return k.process.PID() }

// Port is the port of the listener.
func (k *Kafka) Port() string {
	_, port, _ := net.SplitHostPort(k.address)
	return port
}

// Stop sends SIGTERM and waits for the end.
func (k *Kafka) Stop() { k.process.terminate(60 * time.Second) }

// Kill sends SIGKILL and waits for the end.
func (k *Kafka) Kill() { k.process.kill() }
