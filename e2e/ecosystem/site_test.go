//go:build e2e

package ecosystem

import (
	"context"
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

//go:embed pom.xml
var pom []byte

// partitions of every topic of a test.
const partitions = 4

// peace is how long nothing is killed after a kill.
const peace = 5 * time.Second

// settledWithin bounds how long the output may take to become whole once the load has ended and nothing is killed any more.
const settledWithin = 3 * time.Minute

// site is the cluster under test and what is needed to run Java programs beside it.
type site struct {
	t         *testing.T
	addresses []string
	cluster   *harness.Cluster // nil when Apache Kafka is under test
	classpath string
	client    *kgo.Client
	admin     *kadm.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, classpath: harness.MavenClasspath(t, pom)}
	if os.Getenv("ECOSYSTEM_SERVER") == "kafka" {
		s.addresses = []string{harness.StartKafka(t, harness.KafkaConfig{}).Address()}
	} else {
		s.cluster = harness.StartCluster(t, harness.ClusterConfig{Settings: map[string]string{
			"default.replication.factor":       "3",
			"group.streams.session.timeout.ms": "6000", "group.streams.min.session.timeout.ms": "6000",
			"group.streams.heartbeat.interval.ms": "1500", "group.streams.min.heartbeat.interval.ms": "1500",
		}})
		s.addresses = s.cluster.Addresses()
	}
	s.client = s.newClient()
	s.admin = kadm.NewClient(s.client)
	return s
}

func (s *site) newClient(options ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.addresses...), kgo.FetchMaxWait(200 * time.Millisecond)}, options...)...)
	if err != nil {
		s.t.Fatalf("make a client: %v", err)
	}
	s.t.Cleanup(client.Close)
	return client
}

func (s *site) bootstrap() string { return strings.Join(s.addresses, ",") }

func (s *site) createTopics(names ...string) {
	s.t.Helper()
	created, err := s.admin.CreateTopics(s.t.Context(), partitions, -1, nil, names...)
	if err == nil {
		err = created.Error()
	}
	if err != nil {
		s.t.Fatalf("create topics %v: %v", names, err)
	}
}

// compile compiles one file of java/ and returns a classpath that has it.
func (s *site) compile(name string) string {
	s.t.Helper()
	dir := s.t.TempDir()
	cmd := exec.Command("javac", "-nowarn", "-d", dir, "-cp", s.classpath, filepath.Join("java", name))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("compile %s: %v\n%s", name, err, out)
	}
	return dir + ":" + s.classpath
}

// java starts a Java program.
func (s *site) java(name, classpath, class string, args ...string) *harness.Process {
	s.t.Helper()
	line := []string{"-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", harness.JavaLogging(s.t), "-cp", classpath, class}
	return harness.StartProgram(s.t, name, exec.Command("java", append(line, args...)...))
}

// load is how long the load of a test runs.
func load(t *testing.T) time.Duration {
	seconds := 25
	if text := os.Getenv("ECOSYSTEM_SECONDS"); text != "" {
		var err error
		if seconds, err = strconv.Atoi(text); err != nil || seconds < 1 {
			t.Fatalf("ECOSYSTEM_SECONDS=%q is no number of seconds", text)
		}
	}
	return time.Duration(seconds) * time.Second
}

// program is a Java program that is killed and started again.
type program struct {
	start   func() *harness.Process
	process *harness.Process
}

func run(start func() *harness.Process) *program { return &program{start: start, process: start()} }

// killer kills brokers and programs in turn, each with some peace after it, until it is stopped.
type killer struct {
	stop  chan struct{}
	done  chan struct{}
	turns atomic.Int32 // in which a broker and a program were killed and started again
	kills int          // read it after end
}

func (s *site) startKilling(peace time.Duration, programs ...*program) *killer {
	k := &killer{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(k.done)
		for turn := 0; k.rest(peace); turn++ {
			if s.cluster != nil {
				node := s.cluster.Nodes()[turn%len(s.cluster.Nodes())]
				node.Kill()
				k.kills++
				more := k.rest(time.Second)
				node.Restart()
				if !more || !k.rest(peace-time.Second) {
					return
				}
			}
			victim := programs[turn%len(programs)]
			victim.process.Kill()
			k.kills++
			k.rest(time.Second)
			victim.process = victim.start()
			k.turns.Add(1)
		}
	}()
	return k
}

// rest waits and reports whether killing goes on.
func (k *killer) rest(d time.Duration) bool {
	select {
	case <-k.stop:
		return false
	case <-time.After(d):
		return true
	}
}

func (k *killer) end() {
	close(k.stop)
	<-k.done
}

// read returns the committed records of topics, once there are as many as wanted of each and nothing more comes for a while.
func (s *site) read(wanted map[string]int, programs ...*program) map[string][]*kgo.Record {
	s.t.Helper()
	var topics []string
	missing := 0
	for topic, count := range wanted {
		topics = append(topics, topic)
		missing += count
	}
	client := s.newClient(kgo.ConsumeTopics(topics...), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := map[string][]*kgo.Record{}
	deadline, quiet := time.Now().Add(settledWithin), time.Time{}
	for quiet.IsZero() || time.Since(quiet) < 5*time.Second {
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
		fetches := client.PollFetches(ctx)
		cancel()
		fetches.EachRecord(func(r *kgo.Record) {
			got[r.Topic] = append(got[r.Topic], r)
			missing--
		})
		if missing <= 0 && (quiet.IsZero() || fetches.NumRecords() > 0) {
			quiet = time.Now()
		}
		if time.Now().After(deadline) {
			for topic, count := range wanted {
				s.t.Errorf("%s: %d of %d records within %v", topic, len(got[topic]), count, settledWithin)
			}
			for _, p := range programs {
				s.t.Logf("the end of a program's log:\n%s", p.process.Log(60))
			}
			s.t.FailNow()
		}
	}
	return got
}
