package producer

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

// guarded is a table with a history of guards, which tests name by when they were given.
type guarded struct {
	t      *testing.T
	table  Table
	given  []Guard
	offset int64
}

func (g *guarded) ask(epoch int16, sequence int32, bumps bool) {
	g.t.Helper()
	guard, err := g.table.BeginVerification(7, epoch, sequence, bumps, Guard(len(g.given)+1), 100)
	if err != nil {
		g.t.Fatal(err)
	}
	g.given = append(g.given, guard)
}

func (g *guarded) append(in *Info) error {
	in.BaseOffset, in.LastOffset = g.offset, g.offset
	_, _, err := g.table.Append(in, CheckSequence, new(Undo))
	if err == nil {
		g.offset++
	}
	return err
}

func (g *guarded) data(epoch int16, sequence int32, guard Guard) error {
	in := data(7, epoch, sequence, 1, 0, true)
	in.Guard = guard
	return g.append(in)
}

func (g *guarded) marker(epoch int16, version int8, abort bool) error {
	in := marker(7, epoch, 1, 0, abort)
	in.TransactionVersion = version
	return g.append(in)
}

func (g *guarded) want(err, want error) {
	g.t.Helper()
	if !errors.Is(err, want) {
		g.t.Fatalf("got %v, want %v", err, want)
	}
}

// KIP-890: the answer of the coordinator and the marker of an abort race for the log.
func TestAMarkerBetweenQuestionAndAppendRefusesTheAppend(t *testing.T) {
	for _, version := range []int8{0, 2} {
		t.Run(fmt.Sprintf("version %d", version), func(t *testing.T) {
			g := &guarded{t: t}
			g.ask(0, 0, version == 2)
			g.want(g.marker(int16(version/2), version, true), nil)
			if version == 2 { // the marker's epoch fences the batch
				g.want(g.data(0, 0, g.given[0]), kerr.InvalidProducerEpoch)
			} else {
				g.want(g.data(0, 0, g.given[0]), kerr.InvalidTxnState)
			}
			if g.table.FirstUnstableOffset() != None {
				t.Fatal("a transaction is open that nobody will end")
			}
		})
	}
}

// Where epochs rise, a batch may be asked about while the transaction before still waits for its marker here.
func TestTheMarkerOfTheTransactionBeforeLeavesTheQuestion(t *testing.T) {
	g := &guarded{t: t}
	g.ask(0, 0, true)
	g.want(g.data(0, 0, g.given[0]), nil)
	g.ask(1, 0, true)
	g.want(g.marker(1, 2, true), nil)
	g.want(g.data(1, 0, g.given[1]), nil)
	if s := g.table.states[7]; !s.hasOpen(1) || s.TxnFirstOffset != 2 {
		t.Fatalf("the producer is %+v", s)
	}
}

func TestAnAnswerOfAnEarlierQuestionOpensNothing(t *testing.T) {
	g := &guarded{t: t}
	g.ask(0, 0, false)
	g.want(g.marker(0, 1, true), nil)
	g.ask(0, 0, false) // of the next transaction
	if g.given[0] == g.given[1] {
		t.Fatal("the same guard was given twice")
	}
	g.want(g.data(0, 0, g.given[0]), kerr.InvalidTxnState)
	g.want(g.data(0, 0, g.given[1]), nil)
}

func TestOnlyTheFirstBatchOfATransactionIsVerified(t *testing.T) {
	g := &guarded{t: t}
	g.want(g.data(0, 0, NoGuard), kerr.InvalidTxnState)
	g.ask(0, 0, false)
	g.want(g.data(0, 0, g.given[0]), nil)
	g.want(g.data(0, 1, NoGuard), nil)
	if guard, err := g.table.BeginVerification(7, 0, 2, false, 9, 100); guard != NoGuard || err != nil {
		t.Fatalf("guard %d, %v", guard, err)
	}
	g.want(g.marker(0, 0, false), nil)
	g.want(g.data(0, 2, NoGuard), kerr.InvalidTxnState)
	g.want(g.data(0, 2, Unverified), nil) // verification is switched off
}

func TestABatchDoesNotOvertakeAnEarlierOneThatWaits(t *testing.T) {
	g := &guarded{t: t}
	g.ask(0, 0, false)
	g.ask(0, 1, false)
	g.want(g.data(0, 1, g.given[1]), kerr.OutOfOrderSequenceNumber)
	g.ask(1, 5, false) // a new epoch forgets the old one's sequences
	g.want(g.data(1, 5, g.given[2]), nil)
}

// A copy of what was written before, which comes late and is refused, keeps nobody out: what follows is in order.
func TestALateCopyOfAWrittenBatchKeepsNobodyOut(t *testing.T) {
	for _, last := range []int32{1, math.MaxInt32} {
		g := &guarded{t: t}
		g.ask(0, last-1, false)
		g.want(g.data(0, last-1, g.given[0]), nil)
		g.want(g.data(0, last, NoGuard), nil)
		g.want(g.marker(0, 0, false), nil)
		g.ask(0, last, false)
		g.ask(0, last-1, false)
		next := last + 1
		if last == math.MaxInt32 {
			next = 0
		}
		g.ask(0, next, false)
		g.want(g.data(0, next, g.given[3]), nil)
	}
}

func TestEveryTransactionBeginsAtSequenceZeroWhereEpochsRise(t *testing.T) {
	g := &guarded{t: t}
	g.ask(0, 3, true)
	g.want(g.data(0, 3, g.given[0]), kerr.OutOfOrderSequenceNumber)
	g.ask(0, 0, true)
	g.want(g.data(0, 0, g.given[1]), nil)
	g.want(g.data(0, 1, NoGuard), nil)
	g.want(g.marker(1, 2, false), nil)
	g.ask(1, 2, true)
	g.want(g.data(1, 2, g.given[2]), kerr.OutOfOrderSequenceNumber)
	g.ask(1, 0, true)
	g.want(g.data(1, 0, g.given[3]), nil)
}

// KAFKA-17754: the marker of a transaction comes, late or twice, when the producer's next one is open.
func TestALateMarkerDoesNotEndTheNextTransaction(t *testing.T) {
	g := &guarded{t: t}
	g.want(g.data(0, 0, Unverified), nil)
	g.want(g.marker(1, 2, false), nil)
	g.want(g.marker(1, 2, false), nil) // again, with nothing open: harmless
	g.want(g.data(1, 0, Unverified), nil)
	g.want(g.marker(1, 2, false), kerr.InvalidProducerEpoch)
	g.want(g.marker(0, 2, true), kerr.InvalidProducerEpoch)
	g.table.SetHighWatermark(4)
	if g.table.FirstUnstableOffset() != 3 {
		t.Fatalf("first unstable offset is %d", g.table.FirstUnstableOffset())
	}
	g.want(g.marker(2, 2, false), nil)
}

func TestAFencedProducerIsNotVerified(t *testing.T) {
	g := &guarded{t: t}
	g.want(g.marker(3, 1, true), nil)
	if _, err := g.table.BeginVerification(7, 2, 0, false, 1, 100); !errors.Is(err, kerr.InvalidProducerEpoch) {
		t.Fatal(err)
	}
}

func TestAnUndoneAppendLeavesItsQuestionOpen(t *testing.T) {
	g := &guarded{t: t}
	g.ask(0, 0, false)
	in, undo := data(7, 0, 0, 1, 0, true), new(Undo)
	in.Guard = g.given[0]
	if _, _, err := g.table.Append(in, CheckSequence, undo); err != nil {
		t.Fatal(err)
	}
	g.table.Undo(undo)
	g.want(g.data(0, 0, g.given[0]), nil)
}

func TestQuestionsThatNobodyCameBackFromExpire(t *testing.T) {
	g := &guarded{t: t}
	g.ask(0, 0, false)
	g.table.RemoveExpired(100+1000, 1000)
	if len(g.table.verifying) != 0 {
		t.Fatal("the question is still kept")
	}
}

// KAFKA-20090: no marker has a later epoch than the last of all, which a coordinator gave to a producer by mistake.
func TestATransactionOfTheLastEpochOfAllCanBeEnded(t *testing.T) {
	g := &guarded{t: t}
	g.want(g.data(math.MaxInt16-1, 0, Unverified), nil)
	g.want(g.marker(math.MaxInt16-1, 2, false), kerr.InvalidProducerEpoch)
	g.want(g.marker(math.MaxInt16, 2, false), nil)
	g.want(g.data(math.MaxInt16, 0, Unverified), nil)
	g.want(g.marker(math.MaxInt16, 2, true), nil)
	g.table.SetHighWatermark(10)
	if unstable := g.table.FirstUnstableOffset(); unstable != None {
		t.Fatalf("first unstable offset is %d", unstable)
	}
}
