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
const cellWithin = 2 * time.Minute

const pythonPackage = "confluent-kafka==2.16.1"

func clientRows(t *testing.T) []*client {
	const noPlugin, oldGroups, noShares = "the codec is a plugin of another package", "its members know the classic protocol only", "it has no share groups"
	return []*client{
		goRow(t, "franz-go 1.22.2", "franzgo", nil),
		goRow(t, "Sarama 1.61.1", "sarama", map[string]string{"consumer protocol": oldGroups, "share groups": noShares}),
		goRow(t, "kafka-go 0.4.51", "kafkago", map[string]string{
			"idempotence": "it has no idempotent producer", "transactions": "it has no transactional producer", "delete records": "it has no such request",
			"consumer protocol": oldGroups, "share groups": noShares,
		}),
		goRow(t, "confluent-kafka-go 2.11.1", "confluent", map[string]string{"share groups": noShares}),
		{name: "kcat", codes: allCodecs, run: (&kcat{path: harness.Kcat(t)}).run, lacks: map[string]string{
			"transactions": "it commits nothing within one", "topics": "it administers nothing", "configs": "it administers nothing", "group admin": "it administers nothing", "delete records": "it administers nothing",
			"consumer protocol": oldGroups, "share groups": noShares,
		}},
		javaRow(t, "Apache Java client 4.3.1"),
		{name: "Apache command-line tools 4.3.1", codes: allCodecs, run: newTools(t).run, lacks: map[string]string{
			"transactions": "none copies in transactions",
		}},
		pythonRow(t, "Python confluent-kafka 2.16.1", pythonPackage, map[string]string{"renew": "its share consumer does not renew"}),
		{name: "KafkaJS 2.2.4", codes: []string{"none", "gzip"}, run: program(nodeDriver(t)), lacks: map[string]string{
			"snappy": noPlugin, "lz4": noPlugin, "zstd": noPlugin, "consumer protocol": oldGroups, "share groups": noShares,
		}},
	}
}

func goRow(t *testing.T, name, driver string, lacks map[string]string) *client {
	path := harness.BuildGo(t, "drivers", "./"+driver)
	return &client{name: name, codes: allCodecs, lacks: lacks, run: program([]string{path}), leads: func(verb, address string) []string {
		return []string{path, verb, address}
	}}
}

func javaRow(t *testing.T, name string) *client {
	command := javaDrivers(t)
	return &client{name: name, codes: allCodecs, run: program(command("Driver")), leads: func(verb, address string) []string {
		return append(command(map[string]string{"members": "Members", "sharers": "Sharers"}[verb]), address)
	}}
}

func pythonRow(t *testing.T, name, packages string, lacks map[string]string) *client {
	python := harness.Python(t, packages)
	return &client{name: name, codes: allCodecs, lacks: lacks, run: program([]string{python, filepath.Join("drivers", "python", "driver.py")}), leads: func(verb, address string) []string {
		return []string{python, filepath.Join("drivers", "python", verb+".py"), address}
	}}
}

// quickJVM makes short-lived Java programs start fast.
var quickJVM = []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"}

// javaDrivers compiles drivers/java and returns the command that runs one of its classes.
func javaDrivers(t *testing.T) func(class string) []string {
	classes, libraries := t.TempDir(), harness.Classpath(t)
	sources, err := filepath.Glob(filepath.Join("drivers", "java", "*.java"))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("javac", append([]string{"-d", classes, "-cp", libraries}, sources...)...).CombinedOutput(); err != nil {
		t.Fatalf("compile the Java drivers: %v\n%s", err, out)
	}
	return func(class string) []string {
		command := append([]string{"java"}, quickJVM...)
		return append(command, harness.JavaLogging(t), "-cp", classes+string(filepath.ListSeparator)+libraries, class)
	}
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
