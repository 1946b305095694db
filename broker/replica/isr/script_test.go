package isr

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts print into the scripts")

// TestScripts runs testdata/*.txt: what happens to the leader of a partition, a line each, and below it, indented, what
// comes of it. The leader is broker 1; every broker is active with epoch 10 times its id unless said otherwise.
//
//	lead epoch=E partition=P replicas=1,2,3 isr=1,2,3 [lost=3] end=N held=N hw=N [min=N] [recovering] [continues]
//	append N              the log end moves up
//	held N                this replica holds that much
//	fetch ID OFFSET [start=N] [broker=EPOCH]
//	wait DURATION         time passes, then Tick
//	propose               as the shell does when it is told that it is worth it
//	answer ok|ERROR [partition=P isr=1,2]
//	image partition=P replicas=.. isr=.. [lost=..]
//	broker ID EPOCH active|away
//	min N                 min.insync.replicas
//	low START             the low watermark when this replica's log begins at START
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			w := newWorld(t)
			for line := range strings.Lines(string(p)) {
				line = strings.TrimSuffix(line, "\n")
				if strings.HasPrefix(line, "    ") {
					continue
				}
				out.WriteString(line + "\n")
				if line != "" && !strings.HasPrefix(line, "#") {
					out.WriteString("    " + w.run(strings.Fields(line)) + "\n")
				}
			}
			if *rewrite {
				if err := os.WriteFile(file, []byte(out.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			} else if out.String() != string(p) {
				t.Errorf("%s prints now:\n%s", file, out.String())
			}
		})
	}
}

type world struct {
	t       *testing.T
	l       *Leader
	end     int64
	now     time.Time
	state   State
	brokers map[int32]Broker
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Unix(1000, 0), brokers: map[int32]Broker{}}
	for id := range int32(6) {
		w.brokers[id] = Broker{Epoch: int64(id) * 10, Active: true}
	}
	return w
}

func (w *world) broker(id int32) Broker { return w.brokers[id] }

func (w *world) run(f []string) string {
	switch f[0] {
	case "lead":
		w.state = w.parseState(f[1:])
		w.end = w.number(f, "end")
		w.l = Lead(Start{Self: 1, State: w.state, LogEnd: w.end, Held: w.number(f, "held"), HighWatermark: w.number(f, "hw"), Now: w.now,
			Continues: slices.Contains(f, "continues"),
			Settings:  Settings{MinInSyncReplicas: int(max(w.number(f, "min"), 1)), MaxLag: 10 * time.Second}})
	case "append":
		w.end += w.int(f[1])
		return fmt.Sprint("end=", w.end)
	case "held":
		w.l.Held(w.int(f[1]))
	case "fetch":
		return w.fetch(f)
	case "wait":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			w.t.Fatal(err)
		}
		w.now = w.now.Add(d)
		if _, propose := w.l.Tick(w.end, w.now, w.broker); propose {
			return w.shown() + " worth a proposal"
		}
	case "propose":
		p, ok := w.l.Propose(10, w.end, w.now, w.broker)
		if !ok {
			return "nothing to propose"
		}
		return fmt.Sprintf("%v in partition epoch %d; %s", p.ISR, p.PartitionEpoch, w.shown())
	case "answer":
		return w.answer(f)
	case "image":
		s := w.parseState(f[1:])
		s.LeaderEpoch = w.state.LeaderEpoch
		w.l.Update(s)
	case "broker":
		w.brokers[int32(w.int(f[1]))] = Broker{Epoch: w.int(f[2]), Active: f[3] == "active"}
		return "ok"
	case "min":
		w.l.Configure(Settings{MinInSyncReplicas: int(w.int(f[1])), MaxLag: 10 * time.Second})
	case "low":
		return fmt.Sprint("low watermark ", w.l.LowWatermark(w.int(f[1]), w.broker))
	default:
		w.t.Fatalf("no such command: %v", f)
	}
	return w.shown()
}

func (w *world) fetch(f []string) string {
	id := int32(w.int(f[1]))
	fetch := Fetch{ID: id, Offset: w.int(f[2]), BrokerEpoch: w.brokers[id].Epoch, LogStart: w.number(f, "start")}
	if epoch := w.number(f, "broker"); epoch != 0 {
		fetch.BrokerEpoch = epoch
	}
	_, propose, err := w.l.Fetched(fetch, w.end, w.now, w.broker)
	if err != nil {
		return err.Error()
	}
	if propose {
		return w.shown() + " worth a proposal"
	}
	return w.shown()
}

func (w *world) answer(f []string) string {
	p, ok := w.l.Pending()
	if !ok {
		return "nothing is under way"
	}
	var err error
	s := State{LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch + 1}
	for _, m := range p.ISR {
		s.ISR = append(s.ISR, m.ID)
	}
	if f[1] != "ok" {
		err = errorNamed(w.t, f[1])
	} else if len(f) > 2 {
		s = w.parseState(f[2:])
		s.LeaderEpoch = p.LeaderEpoch
	}
	if _, retry := w.l.Answered(p, s, err, w.now); retry {
		return w.shown() + " to be sent again"
	}
	return w.shown()
}

func errorNamed(t *testing.T, name string) error {
	for code := range int16(200) {
		if err, ok := kerr.ErrorForCode(code).(*kerr.Error); ok && err != nil && err.Message == name {
			return err
		}
	}
	t.Fatalf("no error is called %s", name)
	return nil
}

func (w *world) shown() string {
	s := fmt.Sprintf("hw=%d isr=%v", w.l.HighWatermark(), w.l.ISR())
	if m := w.l.Maximal(); !slices.Equal(m, w.l.ISR()) {
		s += fmt.Sprintf(" maximal=%v", m)
	}
	if _, ok := w.l.Pending(); ok {
		s += " (proposal under way)"
	}
	if !w.l.EnoughInSync() {
		s += " under min ISR"
	}
	if !w.l.Known() {
		s += " unknown to readers"
	}
	return s
}

func (w *world) parseState(f []string) State {
	s := State{LeaderEpoch: int32(w.number(f, "epoch")), PartitionEpoch: int32(w.number(f, "partition")), Recovering: slices.Contains(f, "recovering")}
	for _, field := range f {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "replicas":
			s.Replicas = w.ids(value)
		case "isr":
			s.ISR = w.ids(value)
		case "lost":
			s.Lost = w.ids(value)
		}
	}
	return s
}

func (w *world) ids(s string) (ids []int32) {
	for text := range strings.SplitSeq(s, ",") {
		ids = append(ids, int32(w.int(text)))
	}
	return ids
}

func (w *world) number(f []string, key string) int64 {
	for _, field := range f {
		if value, ok := strings.CutPrefix(field, key+"="); ok {
			return w.int(value)
		}
	}
	return 0
}

func (w *world) int(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}
