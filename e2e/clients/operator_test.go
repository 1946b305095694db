//go:build e2e

package clients

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// operatorTools are Apache's tools for operators, by the name that this test has for each.
var operatorTools = map[string]string{
	"cluster": clusterTool, "quorum": metadataQuorum, "features": "org.apache.kafka.tools.FeatureCommand", "topics": topicCommand, "configs": configCommand,
	"reassign": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", "elect": "org.apache.kafka.tools.LeaderElectionCommand",
	"logdirs": logDirs, "offsets": getOffsets, "delete": deleteRecordsTool,
}

// operator runs Apache's tools one after the other in one JVM (drivers/java/Tools.java).
type operator struct {
	t         *testing.T
	bootstrap string
	dir       string // of files for tools
	in        io.WriteCloser
	out       *bufio.Reader
}

func startOperator(t *testing.T, bootstrap string) *operator {
	command := javaDrivers(t)("Tools")
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		if err := cmd.Wait(); err != nil {
			t.Errorf("the JVM of the tools: %v", err)
		}
	})
	return &operator{t: t, bootstrap: bootstrap, dir: t.TempDir(), in: in, out: bufio.NewReader(out)}
}

// file writes a file for a tool and returns its path.
func (o *operator) file(name, text string) string {
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// call runs a tool: its name and its arguments. It returns what the tool prints and its exit code.
func (o *operator) call(line string) (printed string, code int) {
	o.t.Helper()
	word := strings.Fields(line)
	args := append([]string{"--bootstrap-server", o.bootstrap}, word[1:]...)
	if word[0] == "cluster" {
		args = append([]string{word[1], "--bootstrap-server", o.bootstrap}, word[2:]...)
	}
	if _, err := fmt.Fprintln(o.in, strings.Join(append([]string{operatorTools[word[0]]}, args...), "\t")); err != nil {
		o.t.Fatal(err)
	}
	printed, err := o.out.ReadString('\x04')
	if err != nil {
		o.t.Fatalf("%s: %v: %s", line, err, printed)
	}
	end, err := o.out.ReadString('\n')
	if err == nil {
		code, err = strconv.Atoi(strings.TrimSpace(end))
	}
	if err != nil {
		o.t.Fatalf("%s: ends with %q: %v", line, end, err)
	}
	return strings.TrimSuffix(printed, "\x04"), code
}

// does expects a tool to succeed and to print each of the patterns; a pattern that begins with ! must not be there.
func (o *operator) does(line string, patterns ...string) {
	o.t.Helper()
	o.ends(0, line, patterns...)
}

// refuses expects a tool to fail and to print each of the patterns.
func (o *operator) refuses(line string, patterns ...string) {
	o.t.Helper()
	o.ends(1, line, patterns...)
}

func (o *operator) ends(want int, line string, patterns ...string) {
	o.t.Helper()
	printed, code := o.call(line)
	if code != want {
		o.t.Errorf("%s: exit code %d, want %d: %s", line, code, want, shorten(printed))
	}
	if fault := lacking(printed, patterns); fault != "" {
		o.t.Errorf("%s: %s in %q", line, fault, shorten(printed))
	}
}

// comes calls a tool again and again until it prints the patterns.
func (o *operator) comes(line string, patterns ...string) {
	o.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		printed, _ := o.call(line)
		fault := lacking(printed, patterns)
		if fault == "" {
			return
		}
		if time.Now().After(deadline) {
			o.t.Fatalf("%s: %s in %q", line, fault, shorten(printed))
		}
	}
}

func lacking(printed string, patterns []string) string {
	for _, pattern := range patterns {
		unwanted := strings.HasPrefix(pattern, "!")
		if regexp.MustCompile("(?m)"+strings.TrimPrefix(pattern, "!")).MatchString(printed) == unwanted {
			return "not as wanted: " + pattern
		}
	}
	return ""
}
