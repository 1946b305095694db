//go:build e2e

package clients

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

var allCodecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// cellWithin bounds one cell; drivers give up a little earlier and say why.
const cellWithin = 5 * time.Minute

func clientRows(t *testing.T) []*client {
	noPlugin := "the codec is a plugin of another package"
	return []*client{
		{name: "franz-go 1.22.2", codes: allCodecs, run: program(goDriver(t, "franzgo"))},
		{name: "Sarama 1.61.1", codes: allCodecs, run: program(goDriver(t, "sarama"))},
		{name: "kafka-go 0.4.51", codes: allCodecs, run: program(goDriver(t, "kafkago")), lacks: map[string]string{
			"idempotence": "it has no idempotent producer", "transactions": "it has no transactional producer", "delete records": "it has no such request",
		}},
		{name: "confluent-kafka-go 2.11.1", codes: allCodecs, run: program(goDriver(t, "confluent"))},
		{name: "kcat", codes: allCodecs, run: (&kcat{path: harness.Kcat(t)}).run, lacks: map[string]string{
			"transactions": "it commits nothing within one", "topics": "it administers nothing", "configs": "it administers nothing", "group admin": "it administers nothing", "delete records": "it administers nothing",
		}},
		{name: "Apache Java client 4.3.1", codes: allCodecs, run: program(javaDriver(t))},
		{name: "Apache command-line tools 4.3.1", codes: allCodecs, run: newTools(t).run, lacks: map[string]string{
			"transactions": "none copies in transactions",
		}},
		{name: "Python confluent-kafka 2.11.1", codes: allCodecs, run: program(pythonDriver(t))},
		{name: "KafkaJS 2.2.4", codes: []string{"none", "gzip"}, run: program(nodeDriver(t)), lacks: map[string]string{
			"snappy": noPlugin, "lz4": noPlugin, "zstd": noPlugin,
		}},
	}
}

func goDriver(t *testing.T, name string) []string {
	return []string{harness.BuildGo(t, "drivers", "./"+name)}
}

// quickJVM makes short-lived Java programs start fast.
var quickJVM = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"}

func java(t *testing.T, class string) []string {
	command := append([]string{"java"}, quickJVM...)
	return append(command, harness.JavaLogging(t), "-cp", harness.Classpath(t), class)
}

func javaDriver(t *testing.T) []string {
	return java(t, filepath.Join("drivers", "java", "Driver.java"))
}

func pythonDriver(t *testing.T) []string {
	return []string{harness.Python(t, "confluent-kafka==2.11.1"), filepath.Join("drivers", "python", "driver.py")}
}

func nodeDriver(t *testing.T) []string {
	modules := filepath.Join(harness.NodeModules(t, "kafkajs@2.2.4"), "node_modules")
	return []string{"env", "NODE_PATH=" + modules, "KAFKAJS_NO_PARTITIONER_WARNING=1", "node", filepath.Join("drivers", "kafkajs", "driver.js")}
}

// program runs a driver that speaks the common protocol: FEATURE and flags in, an exit code and a reason out.
func program(command []string) func(*cell) error {
	return func(c *cell) error {
		_, err := execute(c, "", append(append([]string{}, command...), c.driverArguments()...)...)
		return err
	}
}

// execute runs a program with the input and returns its standard output.
func execute(c *cell, input string, command ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), cellWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("no end within %v", cellWithin)
	}
	if err != nil {
		return stdout.String(), errors.Join(fmt.Errorf("%s: %w", filepath.Base(command[0]), err), errors.New(shorten(stderr.String())), errors.New(shorten(stdout.String())))
	}
	return stdout.String(), nil
}

func shorten(text string) string {
	const most = 1500
	if len(text) > most {
		return text[:most/2] + "\n[...]\n" + text[len(text)-most/2:]
	}
	return text
}
