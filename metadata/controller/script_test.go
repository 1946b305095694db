package controller

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

var rewrite = flag.Bool("rewrite", false, "write what the scripts print into the scripts")

// TestScripts runs testdata/*.txt: a request a line, and below it, indented, what the controller makes of it. Requests
// that are granted change the image that the next line sees.
//
//	broker ID [rack=R] [fenced] [incarnation=N]      (registers and, unless fenced, unfences)
//	register ID [rack=R] [incarnation=N] [clean] [dirs=1+2] [alive]
//	fence|unfence|shutdown|unregister ID
//	offline ID DIR[+DIR...]
//	lost ID NAME PARTITION                           (the broker cannot use its log)
//	gone ID NAME PARTITION                           (the broker does not have its log any more)
//	found ID NAME PARTITION DIR                      (the broker can use it again)
//	isr NAME PARTITION LEADER MEMBER[@EPOCH]+... [epoch=N] [pepoch=N] [broker-epoch=N] [recovering]
//	elect preferred|unclean NAME PARTITION[+PARTITION...] | all
//	balance-leaders
//	elect-unclean
//	reassign NAME PARTITION 1+2+3|cancel [keep-factor]
//	reassignments [NAME PARTITION[+PARTITION...]]
//	features NAME=LEVEL upgrade|safe|unsafe
//	load NAME PARTITION BYTES BYTES/S
//	loads
//	moves [balance]                                  (one step)
//	caught-up NAME PARTITION                         (every replica is in sync, as far as brokers are there)
//	settle                                           (steps of balancing, and everything caught up, until nothing is left)
//	create|validate NAME[,NAME...] [partitions=N] [factor=N] [assign=0:1+2/1:2+1] [KEY=VALUE...]  (VALUE null: no value)
//	delete NAME[,NAME...]
//	grow NAME COUNT [assign=1+2/2+1]
//	alter|replace topic|broker|group NAME [set:KEY=VALUE | del:KEY | add:KEY=VALUE | sub:KEY=VALUE]...
//	show NAME
//	producer-ids BROKER
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
				if line == "" || strings.HasPrefix(line, "#") {
					continue
				}
				for printed := range strings.Lines(w.run(strings.Fields(line))) {
					out.WriteString("    " + strings.TrimSuffix(printed, "\n") + "\n")
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

// world is the image that a script works on.
type world struct {
	t     *testing.T
	c     *Controller
	img   *image.Image
	index uint64
	ids   byte
	loads map[PartitionID]Load
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, c: New(config.NewResolver(1, map[string]string{"num.partitions": "2"})), img: image.Empty(), loads: map[PartitionID]Load{}}
	w.c.newTopicID = func() image.TopicID { w.ids++; return image.TopicID{15: w.ids} }
	w.apply(Bootstrap("cluster", ""))
	return w
}

// apply puts commands through the bytes of the log, as a node does.
func (w *world) apply(g command.Group) {
	w.index++
	groups, err := command.Decode(command.Encode([]command.Group{g}))
	if err != nil {
		w.t.Fatalf("decode %+v: %v", g, err)
	}
	next, refusals := command.Apply(w.img, w.index, groups, image.NewChanges())
	if refusals[0] != nil {
		w.t.Fatalf("planned commands do not apply: %v", refusals[0])
	}
	w.img = next
}

func (w *world) run(args []string) string {
	switch args[0] {
	case "broker":
		return w.broker(args[1], options(args[2:]))
	case "create", "validate":
		return w.create(args[0] == "create", strings.Split(args[1], ","), options(args[2:]))
	case "delete":
		var ids []image.TopicID
		for name := range strings.SplitSeq(args[1], ",") {
			id := image.TopicID{0: 0xee}
			if t := w.img.Topic("default", name); t != nil {
				id = t.ID
			}
			ids = append(ids, id)
		}
		return w.finish(w.c.DeleteTopics(w.img, ids))
	case "grow":
		return w.grow(args[1], args[2], options(args[3:]))
	case "alter", "replace":
		return w.alter(args)
	case "show":
		return w.show(args[1])
	case "producer-ids":
		var epoch int64
		if b := w.img.Broker(number(args[1])); b != nil {
			epoch = b.Epoch
		}
		block, err := w.c.AllocateProducerIDs(w.img, number(args[1]), epoch)
		if err != nil {
			return outcomeText(err)
		}
		w.apply(command.Group{block})
		return fmt.Sprintf("%d to %d", block.First, block.First+int64(block.Count)-1)
	}
	if run := w.clusterVerb(args[0]); run != nil {
		return run(args[1:])
	}
	w.t.Fatalf("unknown request %q", args[0])
	return ""
}

func (w *world) finish(errs []error, g command.Group) string {
	s := ""
	for _, err := range errs {
		s += outcomeText(err) + "\n"
	}
	if len(g) > 0 {
		w.apply(g)
	} else {
		s += "(no commands)\n"
	}
	return s
}

func outcomeText(err error) string {
	var r *Refusal
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &r):
		return r.Err.Message + ": " + r.Message
	}
	return "BUG: not a refusal: " + err.Error()
}

func (w *world) broker(id string, opts map[string]string) string {
	b := image.Broker{ID: number(id), Rack: opts["rack"], Incarnation: [16]byte{1}}
	_, fenced := opts["fenced"]
	if n, ok := opts["incarnation"]; ok {
		b.Incarnation[0] = byte(number(n))
	}
	group, err := w.c.RegisterBroker(w.img, Registration{Broker: b, Alone: true})
	if err != nil {
		return outcomeText(err)
	}
	w.apply(group)
	if group = w.c.UnfenceBroker(w.img, b.ID); fenced {
		group = w.c.FenceBroker(w.img, b.ID)
	}
	if len(group) > 0 {
		w.apply(group)
	}
	return fmt.Sprintf("registered at epoch %d", w.img.Broker(b.ID).Epoch)
}

func (w *world) create(really bool, names []string, opts map[string]string) string {
	var topics []NewTopic
	for _, name := range names {
		topics = append(topics, newTopicOf(strings.ReplaceAll(name, "EMPTY", ""), maps.Clone(opts)))
	}
	results, group := w.c.CreateTopics(w.img, "default", topics)
	s := ""
	for _, r := range results {
		s += r.Name + " " + outcomeText(r.Err)
		if r.Err == nil {
			s += fmt.Sprintf(", %d partitions, factor %d, retention.ms %d", r.PartitionCount, r.ReplicationFactor, r.Config.Int64("retention.ms"))
		}
		s += "\n"
	}
	if really && len(group) > 0 {
		w.apply(group)
	}
	return s
}

func newTopicOf(name string, opts map[string]string) NewTopic {
	t := NewTopic{Name: name, PartitionCount: -1, ReplicationFactor: -1, Configs: map[string]*string{}}
	for _, key := range slices.Sorted(maps.Keys(opts)) {
		value := opts[key]
		switch key {
		case "partitions":
			t.PartitionCount = number(value)
		case "factor":
			t.ReplicationFactor = int16(number(value))
		case "assign":
			for one := range strings.SplitSeq(value, "/") {
				partition, replicas, _ := strings.Cut(one, ":")
				t.Assignments = append(t.Assignments, Assignment{Partition: number(partition), Replicas: numbers(replicas)})
			}
		default:
			t.Configs[key] = &value
			if value == "null" {
				t.Configs[key] = nil
			}
		}
	}
	return t
}

func (w *world) grow(name, count string, opts map[string]string) string {
	r := MorePartitions{TopicID: image.TopicID{0: 0xee}, Count: number(count)}
	if t := w.img.Topic("default", name); t != nil {
		r.TopicID = t.ID
	}
	if assign, ok := opts["assign"]; ok {
		for one := range strings.SplitSeq(assign, "/") {
			r.Assignments = append(r.Assignments, numbers(one))
		}
	}
	return w.finish(w.c.CreatePartitions(w.img, []MorePartitions{r}))
}

func (w *world) alter(args []string) string {
	types := map[string]config.ResourceType{"topic": config.TopicResource, "broker": config.BrokerResource, "group": config.GroupResource, "logger": config.BrokerLoggerResource}
	change := ConfigChange{Resource: config.Resource{Type: types[args[1]], Name: strings.ReplaceAll(args[2], "EMPTY", "")}, Replace: args[0] == "replace"}
	kinds := map[string]OpType{"set": OpSet, "del": OpDelete, "add": OpAppend, "sub": OpSubtract, "bad": 9}
	for _, arg := range args[3:] {
		kind, rest, _ := strings.Cut(arg, ":")
		key, value, given := strings.Cut(rest, "=")
		op := ConfigOp{Name: key, Op: kinds[kind]}
		if given {
			op.Value = &value
		}
		change.Ops = append(change.Ops, op)
	}
	s := w.finish(w.c.AlterConfigs(w.img, []ConfigChange{change}))
	now := w.img.ConfigOverrides(change.Resource)
	for _, key := range slices.Sorted(maps.Keys(now)) {
		s += fmt.Sprintf("%s=%s\n", key, now[key])
	}
	return s
}

func (w *world) show(name string) string {
	t := w.img.Topic("default", name)
	if t == nil {
		return "no such topic"
	}
	s := fmt.Sprintf("id %s internal %v config %v\n", t.ID, t.Internal, t.Config)
	for i, p := range t.Partitions() {
		s += partitionText(i, p) + "\n"
	}
	return s
}

func options(args []string) map[string]string {
	opts := map[string]string{}
	for _, arg := range args {
		key, value, _ := strings.Cut(arg, "=")
		opts[key] = value
	}
	return opts
}

func number(s string) int32 {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		panic(err)
	}
	return int32(n)
}

func numbers(s string) []int32 {
	var list []int32
	for one := range strings.SplitSeq(s, "+") {
		if one != "" {
			list = append(list, number(one))
		}
	}
	return list
}
