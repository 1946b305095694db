package coordinator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// list is a shard that holds lines of text: every event is a line, and the answer is how many there are.
type list struct {
	lines    []string
	undo     int // lines at Begin
	deadline time.Time
	outcomes []string
	closed   int
	loaded   bool
}

// Events of the list, beside strings, which are lines to write.
type (
	count    struct{}              // read: answered when what it tells is committed
	peek     struct{}              // read of what is not in the log: answered at once
	many     struct{ n, size int } // writes n lines, which may go in several batches
	whole    struct{ n, size int } // writes n lines in one batch
	ringIn   struct{ d time.Duration }
	withThen struct{ line string }
)

func (l *list) Step(event any, ticket Ticket, now time.Time) Result {
	reply := []Reply{{Ticket: ticket, Response: len(l.lines)}}
	switch e := event.(type) {
	case string:
		return Result{Records: []Record{{Key: []byte(e)}}, Replies: []Reply{{Ticket: ticket, Response: len(l.lines) + 1}}}
	case count:
		return Result{Replies: reply}
	case peek:
		reply[0].Now = true
		return Result{Replies: reply}
	case many:
		return Result{Records: lines(e.n, e.size), Divisible: true, Replies: reply}
	case whole:
		return Result{Records: lines(e.n, e.size), Replies: reply}
	case ringIn:
		l.deadline = now.Add(e.d)
		reply[0].Now = true
		return Result{Replies: reply}
	case withThen:
		return Result{Records: []Record{{Key: []byte(e.line)}}, Then: e.line}
	case Tick:
		l.deadline = time.Time{}
		return Result{Records: []Record{{Key: []byte("rang")}}}
	case Outcome:
		l.outcomes = append(l.outcomes, fmt.Sprintf("%v: %v", e.Event, e.Err))
		return Result{}
	}
	panic(fmt.Sprintf("%T", event))
}

func lines(n, size int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i].Key = []byte(strings.Repeat("x", size))
	}
	return records
}

func (l *list) Replay(r Record) error {
	if string(r.Key) == "broken" {
		return errors.New("a broken line")
	}
	l.lines = append(l.lines, string(r.Key))
	return nil
}
func (l *list) Loaded(time.Time) { l.loaded = true }
func (l *list) Begin()           { l.undo = len(l.lines) }
func (l *list) Commit()          {}
func (l *list) Rollback()        { l.lines = l.lines[:l.undo] }
func (l *list) NextDeadline() (time.Time, bool) {
	return l.deadline, !l.deadline.IsZero()
}
func (l *list) Settled() {}
func (l *list) Closed()  { l.closed++ }

// world is a runtime over a fake log, with the shards it made.
type world struct {
	*Runtime
	log    *fakeLog
	behind atomic.Int64 // nanoseconds that the clock was set back
	mu     sync.Mutex
	shards []*list
}

func newWorld(t *testing.T, maxBatchBytes int) *world {
	w := &world{log: &fakeLog{}}
	w.Runtime = New(Config{
		Name: "__lines", Log: w.log, Clock: func() time.Time { return time.Now().Round(0).Add(-time.Duration(w.behind.Load())) }, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		NewShard: func(int32) Shard {
			w.mu.Lock()
			defer w.mu.Unlock()
			l := &list{}
			w.shards = append(w.shards, l)
			return l
		},
		MaxBatchBytes: func() int { return maxBatchBytes },
		WriteTimeout:  func() time.Duration { return 5 * time.Second },
	})
	t.Cleanup(w.Close)
	return w
}

func (w *world) shard() *list {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.shards[len(w.shards)-1]
}

// ask submits an event in the background.
func (w *world) ask(event any) *asked {
	a := &asked{}
	go func() {
		response, err := w.Submit(context.Background(), 0, event)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.response, a.err, a.done = response, err, true
	}()
	synctest.Wait()
	return a
}

type asked struct {
	mu       sync.Mutex
	response any
	err      error
	done     bool
}

func (a *asked) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.done {
		return "waits"
	}
	return fmt.Sprint(a.response, " ", a.err)
}

func expect(t *testing.T, what string, a fmt.Stringer, want string) {
	t.Helper()
	synctest.Wait()
	if got := a.String(); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func elected(t *testing.T, maxBatchBytes int) *world {
	w := newWorld(t, maxBatchBytes)
	w.OnElection(0, 3)
	synctest.Wait()
	return w
}

func TestAnAnswerWaitsForTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.log.set(func() { w.log.held = true })
		first, second := w.ask("a"), w.ask("b")
		read, now := w.ask(count{}), w.ask(peek{})
		expect(t, "first", first, "waits")
		expect(t, "a read of what is not committed", read, "waits")
		expect(t, "a read of what is not in the log", now, "2 <nil>")
		w.log.release(nil)
		expect(t, "first", first, "1 <nil>")
		expect(t, "second", second, "2 <nil>")
		expect(t, "read", read, "2 <nil>")
		expect(t, "another read", w.ask(count{}), "2 <nil>")
		if w.log.epochs[0] != 3 {
			t.Errorf("written in epoch %d", w.log.epochs[0])
		}
	})
}

func TestWhatQueuesIsOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.log.set(func() { w.log.blocking = make(chan struct{}) })
		var all []*asked
		for range 5 {
			all = append(all, w.ask("a"))
		}
		close(w.log.blocking)
		for i, a := range all {
			expect(t, "answer", a, fmt.Sprint(i+1, " <nil>"))
		}
		if _, records := w.log.counts(); fmt.Sprint(records) != "[1 4]" {
			t.Errorf("records by batch: %v", records)
		}
	})
}

func TestBatchesKeepToTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1000)
		expect(t, "divisible", w.ask(many{25, 100}), "0 <nil>")
		if n, _ := w.log.counts(); n != 4 {
			t.Errorf("%d batches", n)
		}
		for _, b := range w.log.batches {
			if len(b) > 1000 {
				t.Errorf("a batch has %d bytes", len(b))
			}
		}
		expect(t, "not divisible", w.ask(whole{25, 100}), "<nil> "+kerr.UnknownServerError.Error())
		expect(t, "one line too long", w.ask(many{1, 2000}), "<nil> "+kerr.UnknownServerError.Error())
		expect(t, "nothing of them is there", w.ask(count{}), "25 <nil>")
	})
}

func TestARefusedWriteLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		expect(t, "before", w.ask("a"), "1 <nil>")
		w.log.set(func() { w.log.failing = errDisk })
		expect(t, "refused", w.ask("b"), "<nil> "+kerr.NotCoordinator.Error())
		w.ask(withThen{"c"})
		w.log.set(func() { w.log.failing = nil })
		expect(t, "after", w.ask(count{}), "1 <nil>")
		expect(t, "goes on", w.ask("d"), "2 <nil>")
		if got := fmt.Sprint(w.shard().outcomes); got != "[c: "+kerr.NotCoordinator.Error()+"]" {
			t.Errorf("outcomes %s", got)
		}
	})
}

func TestACommitThatFailsOrTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.log.set(func() { w.log.held = true })
		late := w.ask("a")
		w.ask(withThen{"b"})
		time.Sleep(4999 * time.Millisecond)
		expect(t, "in time", late, "waits")
		time.Sleep(time.Millisecond)
		expect(t, "too late", late, "<nil> "+kerr.CoordinatorNotAvailable.Error())
		lost := w.ask("c")
		w.log.release(kerr.NotLeaderForPartition)
		expect(t, "lost", lost, "<nil> "+kerr.NotCoordinator.Error())
		if got := fmt.Sprint(w.shard().outcomes); got != "[b: "+kerr.CoordinatorNotAvailable.Error()+"]" {
			t.Errorf("outcomes %s", got)
		}
	})
}

func TestLoadGivesWhatWasLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1000)
		w.ask("a")
		w.ask(many{25, 100})
		w.ask("z")
		live := fmt.Sprint(w.shard().lines)
		w.OnResignation(0)
		expect(t, "not here", w.ask(count{}), "<nil> "+kerr.NotCoordinator.Error())
		w.OnElection(0, 4)
		synctest.Wait()
		expect(t, "loaded", w.ask(count{}), "27 <nil>")
		if loaded := fmt.Sprint(w.shard().lines); loaded != live || !w.shard().loaded {
			t.Errorf("live\n%s\nloaded\n%s", live, loaded)
		}
		if w.shards[0].closed != 1 {
			t.Errorf("the first shard was closed %d times", w.shards[0].closed)
		}
	})
}

func TestWhileItLoads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1<<20)
		w.log.set(func() { w.log.readErr = errDisk })
		w.OnElection(0, 3)
		expect(t, "loading", w.ask(count{}), "<nil> "+kerr.CoordinatorLoadInProgress.Error())
		if ids, loaded := w.Partitions(); len(ids) != 1 || loaded != 0 {
			t.Errorf("partitions %v, loaded %d", ids, loaded)
		}
		time.Sleep(time.Second) // it tries again
		w.log.set(func() { w.log.readErr = nil })
		time.Sleep(2 * time.Second)
		expect(t, "loaded", w.ask(count{}), "0 <nil>")
		if _, loaded := w.Partitions(); loaded != 1 {
			t.Errorf("%d loaded", loaded)
		}
	})
}

// A process that was paused hears in one go that it leads a partition and that it does not any more: the log is another's before
// the shard is given up, and nobody is to be woken for that.
func TestAPartitionThatIsLostWhileItLoadsIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1<<20)
		var told bytes.Buffer
		w.cfg.Logger = slog.New(slog.NewTextHandler(&told, nil))
		for _, tt := range []struct {
			err  error
			loud bool
		}{
			{fmt.Errorf("find the start: %w", kerr.NotLeaderForPartition), false},
			{fmt.Errorf("find the start: %w", kerr.UnknownTopicOrPartition), false},
			{errDisk, true},
		} {
			told.Reset()
			w.log.set(func() { w.log.readErr = tt.err })
			w.OnElection(0, 3)
			synctest.Wait()
			w.OnResignation(0)
			time.Sleep(maxLoadPause)
			synctest.Wait()
			if loud := strings.Contains(told.String(), "level=ERROR"); loud != tt.loud {
				t.Errorf("%v: told %q", tt.err, told.String())
			}
		}
	})
}

func TestABrokenRecordHoldsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1<<20)
		b := newBatch(&partition{runtime: w.Runtime})
		b.records = []Record{{Key: []byte("fine")}, {Key: []byte("broken")}}
		if _, err := b.append(); err != nil {
			t.Fatal(err)
		}
		w.OnElection(0, 3)
		time.Sleep(time.Minute)
		expect(t, "never loaded", w.ask(count{}), "<nil> "+kerr.CoordinatorLoadInProgress.Error())
		w.OnResignation(0)
		time.Sleep(time.Minute)
		expect(t, "not here", w.ask(count{}), "<nil> "+kerr.NotCoordinator.Error())
	})
}

func TestATransactionHoldsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1<<20)
		builder := record.NewBuilder(record.BuilderOptions{HasProducer: true, ProducerID: 7, Transactional: true})
		builder.Append(0, []byte("maybe"), nil, nil)
		b, err := builder.Build()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.log.Append(t.Context(), 0, b, 0); err != nil {
			t.Fatal(err)
		}
		w.OnElection(0, 3)
		time.Sleep(time.Minute)
		expect(t, "never loaded", w.ask(count{}), "<nil> "+kerr.CoordinatorLoadInProgress.Error())
	})
}

func TestADivisibleWriteThatFailsOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1000)
		w.log.set(func() { w.log.failAfter = 2 })
		expect(t, "refused", w.ask(many{25, 100}), "<nil> "+kerr.NotCoordinator.Error())
		batches, records := w.log.counts()
		written := 0
		for _, n := range records {
			written += int(n)
		}
		w.log.set(func() { w.log.failing = nil })
		// What was written stays, in the log and in the shard; the rest is in neither.
		expect(t, "after", w.ask(count{}), fmt.Sprint(written, " <nil>"))
		if batches != 2 || written == 0 {
			t.Errorf("%d batches, %d lines", batches, written)
		}
	})
}

func TestWhatWasReadMayNotBeCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.ask("a")
		w.OnResignation(0)
		w.log.set(func() { w.log.held = true })
		w.OnElection(0, 4)
		synctest.Wait()
		read := w.ask(count{})
		expect(t, "read after the load", read, "waits")
		w.log.release(nil)
		expect(t, "read after the commit", read, "1 <nil>")
	})
}

func TestResignationAnswersEverybody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.log.set(func() { w.log.held = true })
		parked := w.ask("a")
		w.log.set(func() { w.log.blocking = make(chan struct{}) })
		writing, queued := w.ask("b"), w.ask("c")
		w.OnResignation(0)
		for _, a := range []*asked{parked, writing, queued} {
			expect(t, "answer", a, "<nil> "+kerr.NotCoordinator.Error())
		}
		close(w.log.blocking)
		synctest.Wait()
		if w.shard().closed != 1 {
			t.Errorf("closed %d times", w.shard().closed)
		}
	})
}

func TestDeadlinesRing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.ask(ringIn{time.Hour})
		w.ask(ringIn{time.Second}) // earlier: the timer moves
		time.Sleep(time.Second)
		expect(t, "it rang", w.ask(count{}), "1 <nil>")
		w.ask(ringIn{time.Minute})
		w.ask(ringIn{2 * time.Minute}) // later: the timer rings early, for nothing
		time.Sleep(time.Minute)
		expect(t, "not yet", w.ask(count{}), "1 <nil>")
		time.Sleep(time.Minute)
		expect(t, "now", w.ask(count{}), "2 <nil>")
	})
}

// e2e/sim, seed 1 of transactions: a timer that rang before its time, by a clock that is slow or was set back, was never set again,
// so that a transaction neither timed out nor got its completion until somebody asked for something.
func TestADeadlineRingsThoughTheClockWasSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.ask(ringIn{time.Second})
		w.behind.Store(int64(time.Minute))
		time.Sleep(time.Second) // the timer rings, for nothing
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.shard().lines; len(got) != 1 { // asking for it would be what rings
			t.Errorf("the deadline has passed, and the lines are %v", got)
		}
	})
}

func TestTheQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.log.set(func() { w.log.blocking = make(chan struct{}) })
		w.ask("a")
		ctx, cancel := context.WithCancel(context.Background())
		var asking sync.WaitGroup
		for range maxQueuedEvents {
			asking.Go(func() { w.Submit(ctx, 0, peek{}) })
		}
		synctest.Wait()
		expect(t, "one more", w.ask(peek{}), "<nil> "+kerr.CoordinatorNotAvailable.Error())
		cancel()
		asking.Wait()
		close(w.log.blocking)
		synctest.Wait()
		expect(t, "then", w.ask(peek{}), "1 <nil>")
	})
}

func TestWhoGoesIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.log.set(func() { w.log.held = true })
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := w.Submit(ctx, 0, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		w.log.release(nil)
		expect(t, "it was written all the same", w.ask(count{}), "1 <nil>")
	})
}

func TestCloseEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		for id := range int32(50) {
			w.OnElection(id, 1)
		}
		w.log.set(func() { w.log.held = true })
		waiting := w.ask("a")
		w.Close()
		expect(t, "waiting", waiting, "<nil> "+kerr.NotCoordinator.Error())
		w.OnElection(0, 9)
		expect(t, "closed", w.ask("b"), "<nil> "+kerr.NotCoordinator.Error())
		for i, s := range w.shards {
			if s.closed != 1 {
				t.Errorf("shard %d was closed %d times", i, s.closed)
			}
		}
	})
}

// Between two epochs another broker may have led: what this one remembers is not asked any more.
func TestANewEpochLoadsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.ask("a")
		w.log.set(func() { w.log.held = true })
		parked := w.ask("lost")
		w.log.set(func() { // another leader truncated it and wrote something else
			w.log.batches = w.log.batches[:1]
			w.log.end = 1
		})
		if _, err := w.log.Append(t.Context(), 0, linesOf("b", "c"), 4); err != nil {
			t.Fatal(err)
		}
		w.OnElection(0, 5)
		expect(t, "who waited", parked, "<nil> "+kerr.NotCoordinator.Error())
		synctest.Wait()
		w.log.release(nil)
		expect(t, "read", w.ask(count{}), "3 <nil>")
		w.ask("d")
		if len(w.shards) != 2 || w.shards[0].closed != 1 || fmt.Sprint(w.log.epochs) != "[3 3 4 5]" {
			t.Errorf("%d shards, epochs %v", len(w.shards), w.log.epochs)
		}
		w.OnElection(0, 5)
		w.OnElection(0, 4)
		if w.ask("e"); len(w.shards) != 2 {
			t.Errorf("an epoch that is no news made %d shards", len(w.shards))
		}
	})
}

// A node that registers while it loads leads on in the next epoch; the log is not read twice.
func TestTheNextEpochOfALoadGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1<<20)
		w.log.set(func() { w.log.readErr = errDisk })
		w.OnElection(0, 3)
		synctest.Wait()
		w.OnElection(0, 4)
		w.log.set(func() { w.log.readErr = nil })
		time.Sleep(maxLoadPause)
		synctest.Wait()
		w.ask("a")
		if fmt.Sprint(w.log.epochs) != "[4]" || len(w.shards) != 2 { // one for each attempt to load
			t.Errorf("%d shards, epochs %v", len(w.shards), w.log.epochs)
		}
	})
}

func linesOf(texts ...string) record.Batch {
	builder := record.NewBuilder(record.BuilderOptions{})
	for _, text := range texts {
		builder.Append(0, []byte(text), nil, nil)
	}
	built, err := builder.Build()
	if err != nil {
		panic(err)
	}
	return built
}

func TestTellReachesEveryShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := elected(t, 1<<20)
		w.OnElection(1, 3)
		synctest.Wait()
		w.Tell("a")
		synctest.Wait()
		if n, _ := w.log.counts(); n != 2 {
			t.Errorf("%d batches", n)
		}
	})
}

func TestRefusals(t *testing.T) {
	for err, want := range map[error]*kerr.Error{
		kerr.NotLeaderForPartition:   kerr.NotCoordinator,
		errDisk:                      kerr.NotCoordinator,
		kerr.NotEnoughReplicas:       kerr.CoordinatorNotAvailable,
		kerr.UnknownTopicOrPartition: kerr.CoordinatorNotAvailable,
		context.DeadlineExceeded:     kerr.CoordinatorNotAvailable,
		kerr.RecordListTooLarge:      kerr.UnknownServerError,
		io.ErrUnexpectedEOF:          kerr.UnknownServerError,
		kerr.InvalidCommitOffsetSize: kerr.InvalidCommitOffsetSize,
	} {
		if got := Refusal(err); got != want {
			t.Errorf("%v becomes %v, want %v", err, got, want)
		}
	}
}
