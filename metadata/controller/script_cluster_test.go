package controller

import (
	"fmt"
	"strings"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// clusterVerb returns the verb of the scripts that asks what a cluster asks of its controller, nil when there is none.
func (w *world) clusterVerb(name string) func([]string) string {
	return map[string]func([]string) string{
		"register":        w.register,
		"fence":           func(args []string) string { return w.change(w.c.FenceBroker(w.img, number(args[0])), nil) },
		"unfence":         func(args []string) string { return w.change(w.c.UnfenceBroker(w.img, number(args[0])), nil) },
		"shutdown":        func(args []string) string { return w.change(w.c.ShutDownBroker(w.img, number(args[0])), nil) },
		"unregister":      func(args []string) string { return w.change(w.c.UnregisterBroker(w.img, number(args[0]))) },
		"offline":         w.offline,
		"lost":            func(args []string) string { return w.assign(args, image.LostDirectory()) },
		"full":            func(args []string) string { return w.assign(args, image.FullDirectory()) },
		"gone":            func(args []string) string { return w.assign(args, image.GoneDirectory()) },
		"found":           func(args []string) string { return w.assign(args, [16]byte{byte(number(args[3]))}) },
		"isr":             w.isr,
		"elect":           w.elect,
		"balance-leaders": func([]string) string { return w.round(w.c.BalanceLeaders(w.img)) },
		"elect-unclean":   func([]string) string { return w.round(w.c.ElectUncleanLeaders(w.img)) },
		"reassign":        w.reassign,
		"reassignments":   w.reassignments,
		"features":        w.features,
		"load":            w.load,
		"loads":           func([]string) string { return w.loadsText() },
		"moves":           func(args []string) string { return w.moves(len(args) > 0) },
		"caught-up":       w.caughtUp,
		"settle":          func([]string) string { return w.settle() },
	}[name]
}

// change applies a group and prints each partition that is another after it.
func (w *world) change(g command.Group, err error) string {
	if err != nil {
		return outcomeText(err)
	}
	if len(g) == 0 {
		return "(no commands)"
	}
	before := w.img
	w.apply(g)
	s := ""
	for t := range w.img.AllTopics() {
		old := before.TopicByID(t.ID)
		for i, p := range t.Partitions() {
			if old != nil && old.Partition(i) != p {
				s += t.Name + " " + partitionText(i, p) + "\n"
			}
		}
	}
	if s == "" {
		return "ok"
	}
	return s
}

func partitionText(i int32, p *image.Partition) string {
	s := fmt.Sprintf("%d: replicas %v isr %v leader %d epoch %d partition epoch %d", i, p.Replicas, p.ISR, p.Leader, p.LeaderEpoch, p.PartitionEpoch)
	for _, list := range []struct {
		name string
		ids  []int32
	}{{"elr", p.ELR}, {"last known", p.LastKnownELR}, {"adding", p.AddingReplicas}, {"removing", p.RemovingReplicas}} {
		if len(list.ids) > 0 {
			s += fmt.Sprintf(" %s %v", list.name, list.ids)
		}
	}
	for _, id := range p.Replicas {
		if p.Lost(id) {
			s += fmt.Sprintf(" lost by %d", id)
		}
	}
	if p.RecoveryState == image.Recovering {
		s += " recovering"
	}
	return s + map[image.Mover]string{image.ByDrain: " by drain", image.ByBalance: " by balance"}[p.Mover]
}

func (w *world) round(g command.Group, more bool) string {
	s := w.change(g, nil)
	if more {
		s += "and more"
	}
	return s
}

func (w *world) register(args []string) string {
	opts := options(args[1:])
	r := Registration{Broker: image.Broker{ID: number(args[0]), Rack: opts["rack"], Incarnation: [16]byte{1}}}
	if n, ok := opts["incarnation"]; ok {
		r.Broker.Incarnation[0] = byte(number(n))
	}
	if _, ok := opts["clean"]; ok {
		r.Broker.Epoch = w.img.Broker(r.Broker.ID).Epoch
	}
	for _, n := range numbers(opts["dirs"]) {
		r.Broker.Directories = append(r.Broker.Directories, [16]byte{byte(n)})
	}
	_, r.Alive = opts["alive"]
	s := w.change(w.c.RegisterBroker(w.img, r))
	if b := w.img.Broker(r.Broker.ID); b != nil && b.Incarnation == r.Broker.Incarnation {
		s = fmt.Sprintf("registered at epoch %d, fenced %v\n", b.Epoch, b.Fenced) + strings.TrimPrefix(s, "ok")
		for _, id := range missing(b.Directories, r.Broker.Directories) {
			s += fmt.Sprintf("to be accounted for: directory %d\n", id[0])
		}
	}
	return s
}

func (w *world) offline(args []string) string {
	var dirs [][16]byte
	for _, n := range numbers(args[1]) {
		dirs = append(dirs, [16]byte{byte(n)})
	}
	return w.change(w.c.OfflineDirectories(w.img, number(args[0]), dirs), nil)
}

func (w *world) assign(args []string, directory [16]byte) string {
	id, assignment := number(args[0]), DirectoryAssignment{TopicID: image.TopicID{0: 0xee}, Partition: number(args[2]), Directory: directory}
	if t := w.img.Topic("default", args[1]); t != nil {
		assignment.TopicID = t.ID
	}
	faults, group, err := w.c.AssignDirectories(w.img, id, w.img.Broker(id).Epoch, []DirectoryAssignment{assignment})
	if err == nil {
		err = faults[0]
	}
	return w.change(group, err)
}

func (w *world) isr(args []string) string {
	t, partition, leader := w.img.Topic("default", args[0]), number(args[1]), number(args[2])
	change := ISRChange{TopicID: image.TopicID{0: 0xee}, Partition: partition}
	if t != nil {
		change.TopicID = t.ID
		if p := t.Partition(partition); p != nil {
			change.LeaderEpoch, change.PartitionEpoch = p.LeaderEpoch, p.PartitionEpoch
		}
	}
	opts := options(args[4:])
	for member := range strings.SplitSeq(args[3], "+") {
		id, epoch, given := strings.Cut(member, "@")
		m := ISRMember{ID: number(id), BrokerEpoch: -1}
		if given {
			m.BrokerEpoch = int64(number(epoch))
		}
		change.ISR = append(change.ISR, m)
	}
	if n, ok := opts["epoch"]; ok {
		change.LeaderEpoch = number(n)
	}
	if n, ok := opts["pepoch"]; ok {
		change.PartitionEpoch = number(n)
	}
	if _, ok := opts["recovering"]; ok {
		change.RecoveryState = image.Recovering
	}
	epoch := int64(-1)
	if b := w.img.Broker(leader); b != nil {
		epoch = b.Epoch
	}
	if n, ok := opts["broker-epoch"]; ok {
		epoch = int64(number(n))
	}
	outcomes, group, err := w.c.AlterPartitions(w.img, leader, epoch, []ISRChange{change})
	if err != nil {
		return outcomeText(err)
	}
	s := outcomeText(outcomes[0].Err) + "\n" + w.change(group, nil)
	if outcomes[0].Err == nil {
		p := w.img.TopicByID(change.TopicID).Partition(partition)
		if o := outcomes[0]; o.Leader != p.Leader || o.LeaderEpoch != p.LeaderEpoch || o.PartitionEpoch != p.PartitionEpoch || fmt.Sprint(o.ISR) != fmt.Sprint(p.ISR) {
			s += fmt.Sprintf("\nBUG: answered %+v", o)
		}
	}
	return s
}

func (w *world) elect(args []string) string {
	kind := map[string]ElectionType{"preferred": PreferredElection, "unclean": UncleanElection, "bad": 7}[args[0]]
	var of []TopicPartitions
	if args[1] != "all" {
		of = []TopicPartitions{{args[1], numbers(args[2])}}
	}
	outcomes, group, err := w.c.ElectLeaders(w.img, "default", kind, of)
	s := ""
	for _, o := range outcomes {
		s += fmt.Sprintf("%s-%d %s\n", o.Topic, o.Partition, outcomeText(o.Err))
	}
	return s + w.change(group, err)
}

func (w *world) reassign(args []string) string {
	r := Reassignment{Topic: args[0], Partition: number(args[1])}
	if args[2] != "cancel" {
		r.Replicas = append([]int32{}, numbers(strings.ReplaceAll(args[2], "EMPTY", ""))...)
	}
	_, keep := options(args[3:])["keep-factor"]
	errs, group := w.c.AlterReassignments(w.img, "default", []Reassignment{r}, !keep)
	if errs[0] != nil {
		return outcomeText(errs[0])
	}
	return w.change(group, nil)
}

func (w *world) reassignments(args []string) string {
	var of []TopicPartitions
	if len(args) > 0 {
		of = []TopicPartitions{{args[0], numbers(args[1])}}
	}
	s := ""
	for _, o := range ListReassignments(w.img, "default", of) {
		s += fmt.Sprintf("%s-%d replicas %v adding %v removing %v\n", o.Topic, o.Partition, o.Replicas, o.AddingReplicas, o.RemovingReplicas)
	}
	if s == "" {
		return "none"
	}
	return s
}

func (w *world) features(args []string) string {
	name, level, _ := strings.Cut(args[0], "=")
	kind := map[string]UpgradeKind{"upgrade": Upgrade, "safe": SafeDowngrade, "unsafe": UnsafeDowngrade}[args[1]]
	s := w.change(w.c.UpdateFeatures(w.img, []FeatureUpdate{{name, int16(number(level)), kind}}))
	return s + fmt.Sprintf("\nnow %d", w.img.Features()[name])
}
