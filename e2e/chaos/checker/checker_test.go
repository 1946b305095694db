package checker

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// story builds a history; every op takes the next millisecond.
type story struct {
	h   History
	now time.Duration
}

func newStory() *story {
	return &story{h: History{Clients: map[int32]Client{}, LogStart: map[Key]int64{}, Final: true}}
}

func (s *story) add(op Op) *story {
	s.now += 2 * time.Millisecond
	op.Invoked, op.Returned = s.now, s.now+time.Millisecond
	s.h.Ops = append(s.h.Ops, op)
	return s
}

func send(key Key, v Value, offset int64) Step { return Step{Key: key, Value: v, Offset: offset} }
func read(key Key, v Value, offset int64) Step {
	return Step{Read: true, Key: key, Value: v, Offset: offset, Epoch: NoEpoch}
}

func (s *story) send(outcome Outcome, key Key, v Value, offset int64) *story {
	return s.add(Op{Process: v.Process, Kind: Produce, Outcome: outcome, Steps: []Step{send(key, v, offset)}})
}

func (s *story) poll(process int32, steps ...Step) *story {
	return s.add(Op{Process: process, Kind: Poll, Outcome: OK, Steps: steps})
}

// txn adds a transaction whose end is asked for when it returns.
func (s *story) txn(outcome Outcome, process int32, steps ...Step) *story {
	s.add(Op{Process: process, Kind: Produce, Outcome: outcome, Transaction: true, Steps: steps})
	op := &s.h.Ops[len(s.h.Ops)-1]
	op.EndInvoked = op.Returned - time.Millisecond/2
	return s
}

func (s *story) look(kind Kind, group string, generation int32, process int32, key Key, offset int64) *story {
	return s.add(Op{Process: process, Kind: kind, Outcome: OK, Group: group, Generation: generation, Steps: []Step{{Key: key, Offset: offset}}})
}

func (s *story) client(process int32, c Client) *story { s.h.Clients[process] = c; return s }

var (
	a, b, c1, d = Value{1, 1}, Value{1, 2}, Value{1, 3}, Value{2, 1}
)

// three sends a, b and c1 to offsets 0, 1 and 2.
func three() *story { return newStory().send(OK, 0, a, 0).send(OK, 0, b, 1).send(OK, 0, c1, 2) }

func epoch(s Step, e int32) Step { s.Epoch = e; return s }

// Each history plants one anomaly; the checker must name it and nothing else.
func TestCheckNamesThePlantedAnomaly(t *testing.T) {
	for _, tc := range []struct {
		name  string
		story *story
		want  []string
	}{
		{"nothing wrong", three().poll(9, read(0, a, 0), read(0, b, 1)).poll(9, read(0, c1, 2)), nil},
		{"unknown may be missing", three().send(Info, 0, d, NoOffset).poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2)), nil},
		{"unknown may be there", three().send(Info, 0, d, NoOffset).poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2), read(0, d, 3)), nil},
		{"gaps between offsets are fine", newStory().send(OK, 0, a, 0).send(OK, 0, b, 5).poll(9, read(0, a, 0), read(0, b, 5)), nil},
		{"read again by another", three().poll(8, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2)), nil},
		{"read again after an assignment", three().poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).add(Op{Process: 9, Kind: Assign}).poll(9, read(0, a, 0)), nil},
		{"partitions have orders of their own", newStory().send(OK, 0, a, 7).send(OK, 1, b, 0).poll(9, read(1, b, 0), read(0, a, 7)), nil},

		{"lost in the middle", three().poll(9, read(0, a, 0), read(0, c1, 2)), []string{LostWrite}},
		{"lost at the end", three().poll(9, read(0, a, 0), read(0, b, 1)), []string{Unseen}},
		{"lost with everything", newStory().send(OK, 0, a, 0), []string{Unseen}},
		{"removed by retention", func() *story { s := three(); s.h.LogStart[0] = 2; return s }().poll(9, read(0, c1, 2)), nil},
		{"duplicate", three().poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2), read(0, b, 3)), []string{Duplicate}},
		{"duplicate of a client that may", three().client(1, Client{AtLeastOnce: true}).poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2), read(0, b, 3)), nil},
		{"moved: acknowledged elsewhere", newStory().send(OK, 0, a, 3).poll(9, read(0, a, 4)), []string{Duplicate}},
		{"two values at an offset", newStory().send(OK, 0, a, 0).send(Info, 0, d, NoOffset).poll(8, read(0, a, 0)).poll(9, read(0, d, 0)), []string{InconsistentOffset}},
		{"one acknowledged, another read", newStory().send(OK, 0, a, 0).send(Info, 0, d, NoOffset).poll(9, read(0, d, 0)), []string{InconsistentOffset, LostWrite}},
		{"failed and read", newStory().send(Fail, 0, a, NoOffset).poll(9, read(0, a, 0)), []string{AbortedRead}},
		{"never sent", newStory().send(OK, 0, a, 0).poll(9, read(0, a, 0), read(0, d, 1)), []string{Phantom}},
		{"in another partition", newStory().send(OK, 0, a, 0).send(Info, 1, d, NoOffset).poll(9, read(0, a, 0), read(0, d, 1)), []string{Phantom}},

		{"one poll leaves out", three().poll(8, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).poll(9, read(0, a, 0), read(0, c1, 2)), []string{IntPollSkip}},
		{"one poll goes back", three().poll(9, read(0, a, 0), read(0, c1, 2), read(0, b, 1)), []string{IntNonmonotonicPoll, IntPollSkip}},
		{"polls leave out", three().poll(8, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).poll(9, read(0, a, 0)).poll(9, read(0, c1, 2)), []string{PollSkip}},
		{"polls go back", three().poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).poll(9, read(0, a, 0)), []string{NonmonotonicPoll}},
		{"a record twice in a row", three().poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).poll(9, read(0, c1, 2)), []string{NonmonotonicPoll}},
		{"polls of a group may go back", three().client(9, Client{Grouped: true}).poll(9, read(0, a, 0), read(0, b, 1), read(0, c1, 2)).poll(9, read(0, a, 0)), nil},
		{"one request out of order", newStory().add(Op{Process: 1, Kind: Produce, Outcome: OK, Steps: []Step{send(0, a, 1), send(0, b, 0)}}).poll(9, read(0, b, 0), read(0, a, 1)), []string{IntNonmonotonicSend}},
		{"requests out of order", newStory().send(OK, 0, a, 1).send(OK, 0, b, 0).poll(9, read(0, b, 0), read(0, a, 1)), []string{NonmonotonicSend}},
		{"unknown sends out of order", newStory().send(Info, 0, a, NoOffset).send(Info, 0, b, NoOffset).poll(9, read(0, b, 0), read(0, a, 1)), []string{NonmonotonicSend}},
		{"out of order of a client that may", newStory().client(1, Client{AtLeastOnce: true}).send(OK, 0, a, 1).send(OK, 0, b, 0).poll(9, read(0, b, 0), read(0, a, 1)), nil},
		{"spurious zero", newStory().send(OK, 0, d, 0).send(OK, 0, a, 0).poll(9, read(0, d, 0), read(0, a, 1)), []string{SpuriousZero}},

		{"epoch falls along the log", three().poll(9, epoch(read(0, a, 0), 3), epoch(read(0, b, 1), 2), epoch(read(0, c1, 2), 3)), []string{NonmonotonicEpoch}},
		{"an offset with two epochs", newStory().send(OK, 0, a, 0).poll(8, epoch(read(0, a, 0), 3)).poll(9, epoch(read(0, a, 0), 4)), []string{NonmonotonicEpoch}},
		{"high watermark goes back", newStory().look(Ends, "", 0, 8, 0, 5).look(Ends, "", 0, 9, 0, 4), []string{NonmonotonicEnd}},
		{"high watermarks asked for at once", func() *story {
			s := newStory().look(Ends, "", 0, 8, 0, 5).look(Ends, "", 0, 9, 0, 4)
			s.h.Ops[1].Invoked = s.h.Ops[0].Invoked
			return s
		}(), nil},
		{"log start goes back", newStory().look(Starts, "", 0, 8, 0, 5).look(Starts, "", 0, 9, 0, 4), []string{NonmonotonicStart}},
		{"a commit is forgotten", newStory().look(Commit, "g", 1, 8, 0, 5).look(Committed, "g", 0, 9, 0, 4), []string{LostCommit}},
		{"a commit of nobody's knowledge may be", newStory().add(Op{Kind: Commit, Group: "g", Steps: []Step{{Key: 0, Offset: 5}}}).look(Committed, "g", 0, 9, 0, 4), nil},
		{"a remembered offset goes back", newStory().look(Committed, "g", 0, 8, 0, 5).look(Committed, "g", 0, 9, 0, 4), []string{NonmonotonicCommit}},
		{"groups are apart", newStory().look(Commit, "g", 1, 8, 0, 5).look(Committed, "h", 0, 9, 0, 4), nil},
		{"two owners", newStory().look(Subscribe, "g", 3, 8, 0, 0).look(Subscribe, "g", 3, 9, 0, 0), []string{TwoOwners}},
		{"owners one after the other", newStory().look(Subscribe, "g", 3, 8, 0, 0).look(Subscribe, "g", 4, 9, 0, 0), nil},

		{"a transaction", newStory().txn(OK, 1, send(0, a, 0), send(1, b, 0)).poll(9, read(0, a, 0), read(1, b, 0)), nil},
		{"an aborted one is not read", newStory().txn(Fail, 1, send(0, a, 0), send(1, b, 0)), nil},
		{"an aborted one, read by who may", newStory().client(9, Client{Uncommitted: true}).txn(Fail, 1, send(0, a, 0)).poll(9, read(0, a, 0)), nil},
		{"an aborted one is read", newStory().txn(Fail, 1, send(0, a, 0)).poll(9, read(0, a, 0)), []string{AbortedRead}},
		{"who may skips nothing by leaving out an aborted one", newStory().client(8, Client{Uncommitted: true}).send(OK, 0, d, 0).txn(Fail, 1, send(0, a, 1)).send(OK, 0, Value{2, 2}, 3).
			poll(8, read(0, d, 0), read(0, a, 1), read(0, Value{2, 2}, 3)).poll(9, read(0, d, 0), read(0, Value{2, 2}, 3)), nil},
		{"read by itself", newStory().txn(OK, 1, send(0, a, 0), read(0, a, 0)), []string{PrecommittedRead}},
		{"read too early", func() *story {
			s := newStory().txn(OK, 1, send(0, a, 0)).poll(9, read(0, a, 0))
			s.h.Ops[0].EndInvoked = time.Second
			return s
		}(), []string{PrecommittedRead}},
		{"torn", newStory().txn(Info, 1, send(0, a, NoOffset), send(1, b, NoOffset)).poll(9, read(0, a, 0)), []string{Torn}},
		{"torn and acknowledged", newStory().txn(OK, 1, send(0, a, 0), send(1, b, 0)).poll(9, read(0, a, 0)), []string{Torn, Unseen}},
		{"a lost sibling of what was read", newStory().txn(Info, 1, send(0, a, 0), send(1, b, 0)).send(OK, 1, d, 1).poll(9, read(0, a, 0), read(1, d, 1)), []string{Torn, LostWrite}},
		{"a circle", func() *story {
			s := newStory().txn(OK, 1, send(0, a, 0), read(1, d, 0)).txn(OK, 2, send(1, d, 0), read(0, a, 0))
			s.h.Ops[0].EndInvoked, s.h.Ops[1].EndInvoked = time.Millisecond, time.Millisecond
			return s
		}(), []string{G1c}},
		{"a chain is no circle", newStory().txn(OK, 1, send(0, a, 0)).txn(OK, 2, send(1, d, 0), read(0, a, 0)).poll(9, read(1, d, 0)), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			report := Check(&tc.story.h)
			want := slices.Sorted(slices.Values(tc.want))
			if got := report.Names(); !slices.Equal(got, want) {
				t.Errorf("found %v, planted %v\n%v", got, want, report)
			}
		})
	}
}

func TestWitnessesShowTheirNeighbours(t *testing.T) {
	s := newStory()
	var steps []Step
	for i := range int64(9) {
		v := Value{1, int32(i)}
		s.send(OK, 0, v, i)
		if i != 4 {
			steps = append(steps, read(0, v, i))
		}
	}
	report := Check(&s.poll(9, steps...).h)
	if len(report.Anomalies) != 1 || len(report.Anomalies[0].Around) != 7 || !strings.HasPrefix(report.Anomalies[0].Around[3], "> offset 4: 1/4") {
		t.Errorf("want the lost offset between three neighbours on each side:\n%v", report)
	}
}

func TestManyAnomaliesAreCountedAndFewShown(t *testing.T) {
	s := newStory()
	for i := range int64(100) {
		s.send(OK, 0, Value{1, int32(i)}, i)
	}
	report := Check(&s.h)
	if report.Counts[Unseen] != 100 || len(report.Anomalies) != witnessesShown {
		t.Errorf("%d counted and %d shown", report.Counts[Unseen], len(report.Anomalies))
	}
}

func TestAvailabilityIsTheLongestGapOfEachPartition(t *testing.T) {
	s := newStory()
	for i, at := range []int{10, 20, 70, 80} {
		s.send(OK, 0, Value{1, int32(i)}, int64(i))
		s.h.Ops[i].Returned = time.Duration(at) * time.Second
	}
	s.h.From, s.h.To = 0, 90*time.Second
	if got := Check(&s.h).Gaps[0]; got != (Gap{20 * time.Second, 70 * time.Second}) {
		t.Errorf("the longest gap is %v", got)
	}
	if got := LongestGap(nil, time.Second, 3*time.Second); got.Length() != 2*time.Second {
		t.Errorf("without an acknowledgement the gap is the whole window, not %v", got)
	}
}

func TestValueRoundTrip(t *testing.T) {
	v := Value{Process: 3, Sequence: 41}
	if got, err := ParseValue(fmt.Sprint(v, " xxxx")); err != nil || got != v {
		t.Errorf("read back %v, %v", got, err)
	}
	if _, err := ParseValue("hello"); err == nil {
		t.Error("a foreign value was read as one of ours")
	}
}

// A million operations are checked in seconds: a long run is judged as easily as a short one.
func BenchmarkCheck(b *testing.B) {
	s := newStory()
	for i := range int64(200_000) {
		s.send(OK, Key(i%8), Value{int32(i % 5), int32(i)}, i/8)
	}
	var steps []Step
	for i := range int64(200_000) {
		steps = append(steps, read(Key(i%8), Value{int32(i % 5), int32(i)}, i/8))
	}
	s.poll(99, steps...)
	for b.Loop() {
		if report := Check(&s.h); report.Failed() {
			b.Fatal(report)
		}
	}
}
