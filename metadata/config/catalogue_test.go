package config

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// rows reads a table of testdata: what Kafka 4.3.1's own ConfigDef objects say, one line a case, split by tabs.
func rows(t *testing.T, name string) [][]string {
	t.Helper()
	p, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]string
	for line := range strings.Lines(string(p)) {
		all = append(all, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
	return all
}

func catalogueNamed(name string) *Catalogue {
	return map[string]*Catalogue{"topic": Topic(), "broker": Broker(), "group": Group()}[name]
}

func TestCatalogueHoldsEveryKeyOfKafka(t *testing.T) {
	modes := map[UpdateMode]string{ReadOnly: "read-only", PerBroker: "per-broker", ClusterWide: "cluster-wide"}
	for _, row := range rows(t, "keys-kafka-4.3.1.tsv") {
		set, name, typ, def, mode, visibility := row[0], row[1], row[2], row[3], row[4], row[5]
		d := catalogueNamed(set).Get(name)
		if d == nil {
			t.Errorf("%s setting %s is missing", set, name)
			continue
		}
		if own, ok := ownDefaults()[name]; ok {
			def = strconv.Quote(own)
		}
		want, null := "", def == "null"
		if !null {
			want, _ = strconv.Unquote(def)
		}
		if d.Type.String() != typ || d.Default != want || d.NoDefault != null || d.Internal != (visibility == "internal") {
			t.Errorf("%s %s: %s %q null=%v internal=%v, Kafka has %s %s %s", set, name, d.Type, d.Default, d.NoDefault, d.Internal, typ, def, visibility)
		}
		if set == "broker" && modes[d.Mode] != mode {
			t.Errorf("%s can be changed %s, in Kafka %s", name, modes[d.Mode], mode)
		}
	}
}

// ownDefaults are the defaults that are not Kafka's.
func ownDefaults() map[string]string {
	return map[string]string{"broker.heartbeat.interval.ms": "500", "broker.session.timeout.ms": "3000"}
}

func TestOwnKeys(t *testing.T) {
	kafka := map[string]bool{}
	for _, row := range rows(t, "keys-kafka-4.3.1.tsv") {
		kafka[row[0]+" "+row[1]] = true
	}
	own := map[string]bool{
		"topic write.caching": true, "broker write.caching.default": true,
		"topic validate.records": true, "broker validate.records.default": true,
		"broker millrace.drain": true, "broker millrace.group.heartbeat.hold.max.ms": true, "broker millrace.balance.enable": true, "broker millrace.balance.concurrent.moves": true,
		"broker millrace.balance.throttle.bytes.per.second": true,
		"broker millrace.log.dir.room.bytes":                true, "broker millrace.scrub.bytes.per.second": true, "broker millrace.scrub.interval.ms": true,
		// Dynamic quotas, which Kafka keeps in a definition of their own.
		"broker leader.replication.throttled.rate": true, "broker follower.replication.throttled.rate": true,
		"broker replica.alter.log.dirs.io.max.bytes.per.second": true,
	}
	for _, set := range []string{"topic", "broker", "group"} {
		for d := range catalogueNamed(set).All() {
			if id := set + " " + d.Name; !kafka[id] && !own[id] {
				t.Errorf("%s is neither Kafka's nor ours", id)
			}
			if !strings.HasSuffix(d.Documentation, ".") || len(d.Documentation) < 15 {
				t.Errorf("%s has the documentation %q", d.Name, d.Documentation)
			}
			if !d.NoDefault && d.Default != "" {
				if err := d.Check(d.Default); err != nil {
					t.Errorf("the default of %s is refused: %v", d.Name, err)
				}
			}
			for _, s := range d.Synonyms {
				if Broker().Get(s) == nil {
					t.Errorf("%s has the synonym %s, which does not exist", d.Name, s)
				}
			}
		}
	}
}

func TestValuesAreJudgedInKafkasWords(t *testing.T) {
	for _, row := range rows(t, "values-kafka-4.3.1.tsv") {
		value, err1 := strconv.Unquote(row[2])
		want, err2 := strconv.Unquote(row[3])
		if err1 != nil || err2 != nil {
			t.Fatalf("bad row %q", row)
		}
		got := ""
		if err := catalogueNamed(row[0]).Get(row[1]).Check(value); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s = %q\n got: %s\nwant: %s", row[1], value, got, want)
		}
	}
}

// Kafka loads whatever class it finds; here there is one, and any other is refused rather than left out of account.
func TestOnlyKafkasReplicaSelectorIsTaken(t *testing.T) {
	selector := Broker().Get("replica.selector.class")
	if err := selector.Check(RackAwareReplicaSelector); err != nil {
		t.Error(err)
	}
	for _, class := range []string{"", "RackAwareReplicaSelector", "com.example.Selector"} {
		if err := selector.Check(class); err == nil || !strings.Contains(err.Error(), RackAwareReplicaSelector) {
			t.Errorf("class %q: %v, want a refusal that names the one that there is", class, err)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, v := range []string{"", "1", "-1", "1e400", "NaN", "delete,compact", "by_duration:PT1H", "0:1", "*"} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, c := range []*Catalogue{Topic(), Group()} {
			for d := range c.All() {
				parsed, err := d.parse(value)
				if err != nil {
					continue
				}
				if again, err := d.parse(parsed); err != nil || again != parsed {
					t.Errorf("%s: %q is read as %q and that as %q, %v", d.Name, value, parsed, again, err)
				}
				_ = d.Check(value)
			}
		}
	})
}
