package txn

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

	"github.com/millrace-io/millrace/broker/coordinator"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts in testdata print into them")

// TestScripts runs the conversations in testdata/*.txt against the pure shard. A script is a list of commands, each
// followed by what it made the shard say, indented. Lines that start with # are comments.
//
// Requests name who asks first: `anna: init id=t`. What is printed for a request is its answer whenever it comes; `write` lines
// are records, `send` lines are decisions whose markers are to be sent, which `deliver` does. The log is kind unless told
// otherwise: `log slow` parks what is written until `release` or `timeout`, `log fail=ERROR` refuses it, `log ok` is kind again.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 5 {
		t.Fatalf("found %d scripts, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		out.WriteString(lines[i] + "\n")
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			continue
		}
		command, at := lines[i], i+1
		said := w.run(t, command)
		var expected []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") {
			i++
			expected = append(expected, strings.TrimPrefix(lines[i], "  "))
		}
		if !*rewrite && !slices.Equal(said, expected) {
			t.Errorf("%s:%d: %s\n got:\n  %s\nwant:\n  %s", file, at, command, strings.Join(said, "\n  "), strings.Join(expected, "\n  "))
		}
		for _, line := range said {
			out.WriteString("  " + line + "\n")
		}
	}
	if err := w.checkReplay(); err != nil {
		t.Error(err)
	}
	if *rewrite {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// world is a shard with a log, a clock, who waits, and markers on their way.
type world struct {
	shard    *shard
	settings Settings
	now      time.Time
	asking   map[coordinator.Ticket]asking
	last     coordinator.Ticket
	lastID   int64 // producer id that was handed out
	failing  error
	slow     bool
	pending  bool // something written is not committed
	parked   []coordinator.Result
	log      []coordinator.Record
	safe     int // so many of them are committed: no other coordinator may miss them
	jobs     []Job
	sent     func(Job) // looks at each decision; nil: nobody does
	said     []string
}

// asking is who asked, and how the request is made again with a producer id.
type asking struct {
	who  string
	key  key
	with func(fresh int64) request
}

func newWorld() *world {
	w := &world{settings: DefaultSettings(), now: time.UnixMilli(1_000_000).UTC(), asking: map[coordinator.Ticket]asking{}, lastID: 99}
	w.settings.CompletionLingerMillis = 0 // scripts say `linger`
	w.elect(1)
	return w
}

func (w *world) elect(epoch int32) {
	w.shard = newShard(func() Settings { return w.settings })
	for _, r := range w.log {
		if err := w.shard.Replay(r); err != nil {
			panic(err)
		}
	}
	w.shard.Loaded(w.now)
	w.shard.Elected(epoch)
	w.tick()
}

// step does what the runtime does with a result.
func (w *world) step(event any, ticket coordinator.Ticket) {
	r := w.shard.Step(event, ticket, w.now)
	for _, note := range r.Notes {
		w.said = append(w.said, "note "+note.Message)
	}
	for _, reply := range r.Replies {
		if reply.Now {
			w.say(reply.Ticket, reply.Response, nil)
		}
	}
	if len(r.Records) > 0 && !w.write(r.Records) {
		w.settle(r, w.failing)
		return
	}
	w.pending = w.pending || w.slow && len(r.Records) > 0
	if w.pending {
		w.parked = append(w.parked, r)
		return
	}
	w.safe = len(w.log)
	w.settle(r, nil)
}

func (w *world) write(records []coordinator.Record) bool {
	w.shard.Begin()
	for _, record := range records {
		if err := w.shard.Replay(record); err != nil {
			panic(err)
		}
	}
	if w.failing != nil {
		w.shard.Rollback()
		w.said = append(w.said, "write refused")
		return false
	}
	w.shard.Commit()
	for _, record := range records {
		w.said = append(w.said, "write "+showRecord(record))
	}
	w.log = append(w.log, records...)
	return true
}

func (w *world) settle(r coordinator.Result, err error) {
	for _, reply := range r.Replies {
		if !reply.Now {
			w.say(reply.Ticket, reply.Response, err)
		}
	}
	if r.Then != nil {
		w.step(coordinator.Outcome{Event: r.Then, Err: err}, 0)
	}
	w.collect()
}

// collect takes what is to be sent.
func (w *world) collect() {
	for _, j := range w.shard.outbox {
		w.jobs = append(w.jobs, j)
		w.said = append(w.said, "send "+showJob(j))
		if w.sent != nil {
			w.sent(j)
		}
	}
	w.shard.outbox = nil
}

func (w *world) tick() {
	for {
		at, ok := w.shard.NextDeadline()
		if !ok || at.After(w.now) {
			return
		}
		w.step(coordinator.Tick{}, 0)
	}
}

func (w *world) advance(d time.Duration) {
	for end := w.now.Add(d); ; {
		at, ok := w.shard.NextDeadline()
		if !ok || at.After(end) {
			w.now = end
			return
		}
		if at.After(w.now) {
			w.now = at
		}
		w.step(coordinator.Tick{}, 0)
	}
}

// ask steps a request that comes again with a producer id if it needs one.
func (w *world) ask(who string, k key, with func(fresh int64) request, fresh int64) {
	w.last++
	w.asking[w.last] = asking{who, k, with}
	w.step(asked{k, with(fresh)}, w.last)
}

func (w *world) say(ticket coordinator.Ticket, response any, err error) {
	a, ok := w.asking[ticket]
	if !ok {
		panic(fmt.Sprintf("ticket %d is answered twice", ticket))
	}
	delete(w.asking, ticket)
	if _, wants := response.(wantsProducerID); wants {
		w.lastID++
		w.ask(a.who, a.key, a.with, w.lastID)
		return
	}
	w.said = append(w.said, a.who+": "+showAnswer(response, err))
}

// run does what a command says and returns what that made the shard say.
func (w *world) run(t testing.TB, command string) []string {
	w.said = nil
	who, words, isRequest := strings.Cut(command, ": ")
	if !isRequest {
		words = command
	}
	verb, args := parseWords(words)
	if isRequest {
		w.request(t, who, verb, args)
	} else {
		w.control(t, verb, args)
	}
	return w.said
}

func parseWords(words string) (verb string, args map[string]string) {
	fields := strings.Fields(words)
	args = make(map[string]string)
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		args[name] = value
	}
	return fields[0], args
}

func (w *world) request(t testing.TB, who, verb string, args map[string]string) {
	k := key{defaultTenant, orElse(args["id"], "t")}
	producer := parseProducer(t, orElse(args["as"], "-1/-1"))
	version := int16(number(t, orElse(args["v"], "2")))
	switch verb {
	case "init":
		timeout := int32(number(t, orElse(args["timeout"], "60000")))
		w.ask(who, k, func(fresh int64) request {
			return initRequest{timeout, producer, fresh, w.settings.Version, clientPatience}
		}, noProducerID)
	case "add":
		r := addRequest{producer, ordered(parsePartitionNames(t, args["partitions"])), version, clientPatience}
		w.ask(who, k, func(int64) request { return r }, noProducerID)
	case "verify":
		r := verifyRequest{producer, parsePartitionNames(t, args["partitions"])}
		w.ask(who, k, func(int64) request { return r }, noProducerID)
	case "commit", "abort":
		w.ask(who, k, func(fresh int64) request {
			return endRequest{producer, verb == "commit", version, fresh, clientPatience}
		}, noProducerID)
	case "describe":
		w.last++
		w.asking[w.last] = asking{who: who}
		w.step(describeRequest{k}, w.last)
	case "list":
		w.last++
		w.asking[w.last] = asking{who: who}
		f := Filter{DurationMillis: number(t, orElse(args["longer"], "-1"))}
		if args["states"] != "" {
			f.States = strings.Split(args["states"], ",")
		}
		if args["producer"] != "" {
			f.ProducerIDs = []int64{number(t, args["producer"])}
		}
		w.step(listRequest{defaultTenant, f}, w.last)
	default:
		t.Fatalf("no request %q", verb)
	}
}

func (w *world) control(t testing.TB, verb string, args map[string]string) {
	switch verb {
	case "wait":
		d, err := time.ParseDuration(args["for"])
		if err != nil {
			t.Fatal(err)
		}
		w.advance(d)
	case "log":
		_, w.slow = args["slow"]
		w.failing = nil
		if name := args["fail"]; name != "" {
			w.failing = errorNamed(t, name)
		}
	case "release", "timeout", "lost":
		err := map[string]error{"release": nil, "timeout": kerr.CoordinatorNotAvailable, "lost": kerr.NotCoordinator}[verb]
		parked := w.parked
		w.parked = nil
		if verb == "release" {
			w.slow, w.pending, w.safe = false, false, len(w.log)
		}
		for _, r := range parked {
			w.settle(r, err)
		}
	case "deliver":
		jobs := w.jobs
		w.jobs = nil
		for _, j := range jobs {
			w.step([]completed{{prepared{j.key, j.Producer}, j.CoordinatorEpoch}}, 0)
		}
	case "elect": // another coordinator, or this one again: who waits is told elsewhere
		w.asking, w.parked = map[coordinator.Ticket]asking{}, nil
		w.pending = false
		if args["loses"] != "" { // what is not committed
			w.log = w.log[:w.safe]
		}
		w.safe = len(w.log)
		w.elect(int32(number(t, args["epoch"])))
	case "exhaust": // the producer has used up its epochs
		k := key{defaultTenant, orElse(args["id"], "t")}
		s := w.shard.transactions[k].state
		s.epoch = int16(number(t, orElse(args["epoch"], strconv.Itoa(lastClientEpoch))))
		w.write([]coordinator.Record{stateRecord(k, s)})
	case "linger":
		w.settings.CompletionLingerMillis = int32(number(t, args["for"]))
	case "version":
		w.settings.Version = int16(number(t, args["of"]))
	default:
		t.Fatalf("no command %q", verb)
	}
}

// checkReplay holds that the log gives the state that the shard has.
func (w *world) checkReplay() error {
	again := newShard(func() Settings { return w.settings })
	for _, r := range w.log {
		if err := again.Replay(r); err != nil {
			return err
		}
	}
	if got, want := dump(again), dump(w.shard); got != want {
		return fmt.Errorf("the log gives\n%s\nthe shard has\n%s", got, want)
	}
	return nil
}

func dump(s *shard) string {
	var b strings.Builder
	for _, t := range s.sorted() {
		fmt.Fprintf(&b, "%v: %+v\n", t.key, t.state)
	}
	return b.String()
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func number(t testing.TB, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func parseProducer(t testing.TB, s string) Producer {
	id, epoch, _ := strings.Cut(s, "/")
	return Producer{number(t, id), int16(number(t, epoch))}
}

func parsePartitionNames(t testing.TB, s string) (all []Partition) {
	for _, name := range strings.Split(s, ",") {
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			all = append(all, Partition{name[:i], int32(number(t, name[i+1:]))})
		}
	}
	return all
}

func errorNamed(t testing.TB, name string) error {
	for code := range int16(200) {
		if err := kerr.TypedErrorForCode(code); err != nil && err.Message == name {
			return err
		}
	}
	t.Fatalf("no error %s", name)
	return nil
}

func showAnswer(response any, err error) string {
	if err != nil {
		return err.(*kerr.Error).Message
	}
	switch r := response.(type) {
	case nil:
		return "ok"
	case refused:
		return r.err.Message
	case Producer:
		return showProducer(r)
	case []*kerr.Error:
		var all []string
		for _, e := range r {
			if e == nil {
				all = append(all, "ok")
			} else {
				all = append(all, e.Message)
			}
		}
		return strings.Join(all, " ")
	case Description:
		return showDescription(r)
	case []Description:
		all := []string{}
		for _, d := range r {
			all = append(all, showDescription(d))
		}
		return strings.Join(all, "; ")
	}
	panic(fmt.Sprintf("%T", response))
}

func showProducer(p Producer) string { return fmt.Sprintf("%d/%d", p.ID, p.Epoch) }

func showDescription(d Description) string {
	return fmt.Sprintf("%s %s %s timeout=%d start=%d %v", d.TransactionalID, d.Status, showProducer(d.Producer), d.TimeoutMillis, d.StartMillis, d.Partitions)
}

func showPartitions(list []topicPartitions) string {
	var all []string
	for _, t := range list {
		for _, n := range t.partitions {
			all = append(all, fmt.Sprintf("%s-%d", t.topic, n))
		}
	}
	return strings.Join(all, ",")
}

func showJob(j Job) string {
	decision := "abort"
	if j.Commit {
		decision = "commit"
	}
	return fmt.Sprintf("%s %s %s version=%d coordinator=%d to %s", decision, j.key.id, showProducer(j.Producer), j.Version, j.CoordinatorEpoch, showPartitions(j.partitions))
}

func showRecord(r coordinator.Record) string {
	k, _, err := parseKey(r.Key)
	if err != nil {
		return err.Error()
	}
	if r.Value == nil {
		return k.id + " gone"
	}
	s, err := parseState(r.Value)
	if err != nil {
		return err.Error()
	}
	shown := fmt.Sprintf("%s %s %d/%d", k.id, s.status, s.producerID, s.epoch)
	if s.lastEpoch != noEpoch {
		shown += fmt.Sprintf(" last=%d", s.lastEpoch)
	}
	if s.previousProducerID != s.producerID {
		shown += fmt.Sprintf(" previous=%d", s.previousProducerID)
	}
	if s.nextProducerID != noProducerID {
		shown += fmt.Sprintf(" next=%d", s.nextProducerID)
	}
	if len(s.partitions) > 0 {
		shown += " " + showPartitions(s.partitions)
	}
	return shown
}
