//go:build e2e

package oracle

import (
	"cmp"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

var (
	otherName   = flag.String("other", "millrace", "what is compared with Kafka: millrace, a second kafka, or the address of a running server")
	kafkaAt     = flag.String("kafka", "", "address of a running Kafka to ask in place of a new one")
	onlyMatched = flag.String("only", "", "regular expression: hold only the conversations whose \"FILE: TITLE\" it matches")
	record      = flag.Bool("record", false, "write Kafka's answers to testdata/kafka")
	atOnce      = flag.Int("at-once", 4, "conversations held at the same time with each server")
)

// settings make both servers answer at once where Kafka's defaults would wait.
var settings = map[string]string{
	"group.initial.rebalance.delay.ms":                            "0",
	"group.streams.initial.rebalance.delay.ms":                    "0",
	"group.streams.assignment.interval.ms":                        "0",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "100",
}

func TestAnswersAreKafkas(t *testing.T) {
	conversations := chosen(t)
	kafka := meet(t, "kafka", startKafka)
	other := meet(t, *otherName, startOther)
	instances := Instances(conversations)
	begin := time.Now()
	var fromKafka, fromOther []Transcript
	done := make(chan struct{})
	go func() {
		defer close(done)
		fromKafka = hold(t, kafka, instances)
	}()
	fromOther = hold(t, other, instances)
	<-done
	t.Logf("%d conversations held with each server in %v", len(instances), time.Since(begin).Round(time.Second))
	if *record {
		writeRecordings(t, fromKafka)
	}
	judge(t, Compare(fromKafka, fromOther))
}

func chosen(t *testing.T) []Conversation {
	all, err := ReadScripts(os.DirFS("testdata"), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pattern := regexp.MustCompile(*onlyMatched)
	var kept []Conversation
	for _, c := range all {
		if pattern.MatchString(c.File + ": " + c.Title) {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		t.Fatalf("no conversation matches %q", *onlyMatched)
	}
	return kept
}

// A server is what a suite needs to know of one it talks to.
type server interface {
	Address() string
	DataDir() string
}

// elsewhere is a server that somebody else started.
type elsewhere string

func (e elsewhere) Address() string { return string(e) }
func (e elsewhere) DataDir() string { return "" }

func startKafka(t *testing.T) server {
	if *kafkaAt != "" {
		return elsewhere(*kafkaAt)
	}
	return harness.StartKafka(t, harness.KafkaConfig{Settings: settings})
}

func startOther(t *testing.T) server {
	switch *otherName {
	case "millrace":
		return harness.StartMillrace(t, harness.MillraceConfig{Settings: settings})
	case "kafka":
		return harness.StartKafka(t, harness.KafkaConfig{Settings: settings})
	}
	return elsewhere(*otherName)
}

func meet(t *testing.T, name string, start func(*testing.T) server) *Target {
	s := start(t)
	target, err := Meet(name, s.Address(), s.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func hold(t *testing.T, target *Target, instances []Instance) []Transcript {
	transcripts, errs := HoldAll(target, instances, *atOnce)
	for _, err := range errs {
		if err != nil {
			t.Errorf("%s: %v", target.Name, err)
		}
	}
	slowest := slices.SortedFunc(slices.Values(transcripts), func(a, b Transcript) int { return cmp.Compare(b.Took, a.Took) })
	for _, s := range slowest[:min(5, len(slowest))] {
		t.Logf("slow on %s: %v for %s: %s: %s v%d", target.Name, s.Took.Round(time.Millisecond), s.File, s.Title, s.About.Name(), s.Version)
	}
	return transcripts
}

func writeRecordings(t *testing.T, transcripts []Transcript) {
	if err := os.MkdirAll(filepath.Join("testdata", "kafka"), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, text := range Recordings(transcripts) {
		path := filepath.Join("testdata", "kafka", strings.TrimSuffix(file, ".yaml")+".txt")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// judge fails for every difference that is not reviewed; in a whole run against Millrace also for every reviewed one
// that is gone.
func judge(t *testing.T, differences []Difference) {
	text, err := os.ReadFile("differences.txt")
	if err != nil {
		t.Fatal(err)
	}
	reviewed, err := ParseReviewed(string(text))
	if err != nil {
		t.Fatalf("differences.txt: %v", err)
	}
	if *otherName == "kafka" {
		reviewed = nil
	}
	for _, d := range Review(reviewed, differences) {
		t.Errorf("differs from Kafka: %s", d)
	}
	t.Logf("%d differences, of which differences.txt explains all but the ones above", len(differences))
	if *onlyMatched == "" && *otherName == "millrace" {
		for _, entry := range Unused(reviewed) {
			t.Errorf("differences.txt explains what does not differ: %s", entry)
		}
	}
}
