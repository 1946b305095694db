package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// TestAnyConversationKeepsTheInvariants throws random requests, waits, refused and late writes at a shard. After each
// step the log and the shard agree, the shard's own books balance, and nobody who asked is forgotten.
func TestAnyConversationKeepsTheInvariants(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		w.settings.OffsetsRetentionMillis, w.settings.OffsetsRetentionCheckMillis = 60_000, 20_000
		w.settings.MaxSize = 3
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			randomStep(rt, t, w)
			checkWorld(rt, w)
		}
		w.control(t, "log", map[string]string{"ok": ""})
		w.control(t, "release", nil)
		w.advance(time.Hour)
		checkWorld(rt, w)
		if len(w.asked) > 0 {
			rt.Fatalf("an hour later these still wait: %v", w.asked)
		}
	})
}

func randomStep(rt *rapid.T, t *testing.T, w *world) {
	group := rapid.SampledFrom([]string{"g", "h"}).Draw(rt, "group")
	member := rapid.SampledFrom([]string{"", "m1", "m2", "m3", "m4"}).Draw(rt, "member")
	id := fmt.Sprintf("m%d", 1+int(w.last)%4)
	instance := rapid.SampledFrom([]string{"", "", " instance=one", " instance=two"}).Draw(rt, "instance")
	protocols := rapid.SampledFrom([]string{"range", "range,sticky", "sticky,range", "sticky", "cooperative-sticky owns=", "cooperative-sticky owns=t-0+t-1 steady=1"}).Draw(rt, "protocols")
	version := rapid.SampledFrom([]int{3, 5, 9}).Draw(rt, "version")
	generation := 1
	if g := w.shard.lookup(groupKey{defaultTenant, group}); g != nil {
		generation = int(g.generation)
		if g.byID[id] != nil || g.pendingJoin[id] != nil {
			id = fmt.Sprintf("n%d", w.last) // ids are not given twice
		}
	}
	switch rapid.IntRange(0, 19).Draw(rt, "kind") {
	case 0, 1, 2, 3:
		w.run(t, fmt.Sprintf("x: join v=%d group=%s id=%s member=%s protocols=%s topics=t rebalance=30000%s", version, group, id, member, protocols, instance))
	case 4, 5, 6:
		assignment := rapid.SampledFrom([]string{"assign=m1:1,m2:2", "share=m1:t-0,m2:t-1", "share=m1:t-0+t-1"}).Draw(rt, "assignment")
		w.run(t, fmt.Sprintf("x: sync group=%s member=%s gen=%d %s%s", group, member, generation, assignment, instance))
	case 7:
		w.run(t, fmt.Sprintf("x: heartbeat group=%s member=%s gen=%d%s", group, member, generation, instance))
	case 8:
		w.run(t, fmt.Sprintf("x: leave group=%s members=%s", group, member))
	case 9, 10:
		w.run(t, fmt.Sprintf("x: commit group=%s member=%s gen=%d offsets=t-0:%d,u-1:2", group, member, generation, w.last))
	case 11:
		w.run(t, fmt.Sprintf("x: commit group=%s offsets=t-0:%d", group, w.last))
	case 12:
		w.run(t, fmt.Sprintf("x: %s", rapid.SampledFrom([]string{
			"delete-groups groups=g,h", "delete-offsets group=g of=t-0,u-1", "fetch group=g", "describe group=h", "list",
		}).Draw(rt, "admin")))
	case 13:
		w.run(t, rapid.SampledFrom([]string{"log ok", "log slow", "log fail=KAFKA_STORAGE_ERROR", "release", "timeout", "drop-topic topic=t"}).Draw(rt, "log"))
	case 14, 15:
		w.advance(time.Duration(rapid.IntRange(1, 12_000).Draw(rt, "wait")) * time.Millisecond)
	case 17:
		producer := rapid.IntRange(7, 8).Draw(rt, "producer")
		w.run(t, fmt.Sprintf("x: txn-commit group=%s member=%s gen=%d producer=%d offsets=t-0:%d,v-1:2", group, member, generation, producer, w.last))
	case 18:
		w.run(t, fmt.Sprintf("x: txn-commit group=%s producer=%d offsets=t-0:%d", group, rapid.IntRange(7, 8).Draw(rt, "producer"), w.last))
	case 19:
		end := rapid.SampledFrom([]string{"commit-of", "abort-of"}).Draw(rt, "end")
		w.run(t, fmt.Sprintf("%s producer=%d", end, rapid.IntRange(7, 8).Draw(rt, "producer")))
	case 16:
		if len(w.parked) == 0 {
			w.reload(t)
		}
	}
}

func checkWorld(rt *rapid.T, w *world) {
	if err := w.checkReplay(); err != nil {
		rt.Fatal(err)
	}
	waiting := map[coordinator.Ticket]bool{}
	for _, r := range w.parked {
		for _, reply := range r.Replies {
			waiting[reply.Ticket] = true
		}
	}
	counts, offsets := [stateCount]int64{}, int64(0)
	for key, g := range w.shard.groups {
		counts[g.state]++
		for _, partitions := range g.offsets {
			offsets += int64(len(partitions))
		}
		if key != g.key {
			rt.Fatalf("group %v is filed under %v", g.key, key)
		}
		for ticket := range checkGroup(rt, w, g) {
			waiting[ticket] = true
		}
	}
	if counts != w.shard.figures.groups || offsets != w.shard.figures.offsets {
		rt.Fatalf("figures say %+v, there are %v groups and %d offsets", w.shard.figures, counts, offsets)
	}
	for ticket := range w.asked {
		if !waiting[ticket] {
			rt.Fatalf("ticket %d is forgotten", ticket)
		}
	}
}

func checkGroup(rt *rapid.T, w *world, g *group) map[coordinator.Ticket]bool {
	waiting := map[coordinator.Ticket]bool{}
	joins, static := 0, 0
	for _, m := range g.members {
		if g.byID[m.id] != m {
			rt.Fatalf("member %s is not known by its id", m.id)
		}
		if m.instanceID != nil {
			static++
			if g.static[*m.instanceID] != m.id {
				rt.Fatalf("instance %s is not member %s", *m.instanceID, m.id)
			}
		}
		if m.join != 0 {
			joins++
			waiting[m.join] = true
		}
		if m.sync != 0 {
			waiting[m.sync] = true
		}
		if g.state == stable && m.sync != 0 && (m.holding.index < 0 || m.holding.at.After(w.now.Add(idleHold))) {
			rt.Fatalf("member %s is held for ever", m.id)
		}
		if m.session.index < 0 && m.join == 0 && m.sync == 0 {
			rt.Fatalf("member %s in %s has no session", m.id, g.state)
		}
	}
	switch {
	case len(g.byID) != len(g.members) || len(g.static) != static || g.awaitingJoin != joins:
		rt.Fatalf("group %s: %d members, %d by id, %d static of %d, %d join of %d", g.key.id, len(g.members), len(g.byID), len(g.static), static, g.awaitingJoin, joins)
	case len(g.members) > 0 && g.byID[g.leaderID()] == nil:
		rt.Fatalf("group %s is led by nobody", g.key.id)
	case g.state == empty && len(g.members) > 0, len(g.members) == 0 && g.state != empty && g.state != preparingRebalance:
		rt.Fatalf("group %s is %s with %d members", g.key.id, g.state, len(g.members))
	case g.state == preparingRebalance && g.joinTimer.index < 0:
		rt.Fatalf("group %s gathers members for ever", g.key.id)
	}
	return waiting
}

// TestJoinCopiesWhatItKeeps: a request's bytes belong to its connection.
func TestJoinCopiesWhatItKeeps(t *testing.T) {
	metadata := []byte("before")
	own := ownJoin(&kmsg.JoinGroupRequest{Protocols: []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata}}})
	copy(metadata, "after!")
	if string(own.Protocols[0].Metadata) != "before" {
		t.Errorf("the group sees %q", own.Protocols[0].Metadata)
	}
}

// TestRollbackRestores: deletions that could not be written leave the group as it was.
func TestRollbackRestores(t *testing.T) {
	w := newWorld()
	for _, command := range []string{"a: join v=3 id=a", "wait for=3s", "a: sync member=a assign=a:x", "a: commit member=a gen=1 offsets=t-0:1", "a: leave members=a"} {
		w.run(t, command)
	}
	before := dumpDurable(w.shard)
	w.failing = kerr.KafkaStorageError
	w.run(t, "a: delete-groups groups=g")
	if after := dumpDurable(w.shard); after != before || len(w.shard.groups) != 1 {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if g := w.shard.lookup(groupKey{defaultTenant, "g"}); g.generation != 2 || !g.isConsumer() {
		t.Errorf("generation %d, consumer %v after the rollback", g.generation, g.isConsumer())
	}
}

// TestIdsHandedOutAreBounded: whoever asks for ids and never uses them fills no memory.
func TestIdsHandedOutAreBounded(t *testing.T) {
	w := newWorld()
	for i := range maxPendingMembers {
		w.run(t, fmt.Sprintf("x: join id=m%d", i))
	}
	if said := w.run(t, "x: join id=last"); len(said) != 1 || said[0] != `x: GROUP_MAX_SIZE_REACHED member=""` {
		t.Errorf("one more: %v", said)
	}
	w.advance(10 * time.Second)
	w.run(t, "x: list")
	if len(w.shard.groups) != 0 || w.shard.timers.heap.Len() != 1 { // the sweep's
		t.Errorf("%d groups and %d timers are left", len(w.shard.groups), w.shard.timers.heap.Len())
	}
}
