//go:build e2e

package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/chaos/checker"
)

// finishWithin bounds how long clients may need to end their work once all faults are over.
const finishWithin = 60 * time.Second

// finish ends the flow, reads everything by fresh clients, and judges the history. The ends of the partitions are
// returned. All faults must be over.
func (f *flow) finish() map[int32]int64 {
	f.t.Helper()
	history, ends := f.conclude()
	f.verdict(history)
	return ends
}

// conclude is finish without the judgement.
func (f *flow) conclude() (*checker.History, map[int32]int64) {
	f.t.Helper()
	f.stopWriting()
	if f.cfg.transactional > 0 {
		f.seal()
	}
	ends := f.readToTheEnd()
	again := f.readToTheEnd()
	for p, end := range ends {
		if again[p] != end {
			f.t.Errorf("partition %d ended at %d and ends at %d, and nobody writes", p, end, again[p])
		}
	}
	f.reading()
	f.readers.Wait()
	f.mustBeMarkers()
	history := f.rec.History()
	history.Final = true
	return history, ends
}

func (f *flow) stopWriting() {
	f.t.Helper()
	f.writing()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	done := make(chan struct{})
	go func() {
		f.writers.Wait() // a writer may wait for room in its buffer
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		f.t.Fatalf("producers still wait %v after the last fault: %s", finishWithin, f.stuck())
	}
	for _, cl := range f.clients {
		if err := cl.Flush(ctx); err != nil {
			f.t.Fatalf("producers could not finish after the last fault: %v: %s", err, f.stuck())
		}
		cl.Close()
	}
}

// stuck names partitions by how much of them was acknowledged.
func (f *flow) stuck() (text string) {
	for p := range f.cfg.partitions {
		text += fmt.Sprintf(" %d: %d acknowledged;", p, f.rec.Acked(checker.Key(p)))
	}
	return text
}

// readToTheEnd reads every partition from its start to the end that it has now, by a client that is new.
func (f *flow) readToTheEnd() map[int32]int64 {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	starts, ends := map[int32]kgo.Offset{}, map[int32]int64{}
	for p := range int32(f.cfg.partitions) {
		starts[p] = kgo.NewOffset().AtStart()
	}
	cl := f.client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.cfg.topic: starts}), kgo.FetchMaxWait(500*time.Millisecond), f.isolation(checker.Client{}))
	defer cl.Close()
	left := map[int32]int64{}
	for len(ends) < f.cfg.partitions {
		listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, f.cfg.topic)
		listed.Each(func(o kadm.ListedOffset) {
			if o.Err != nil {
				err = o.Err
				return
			}
			ends[o.Partition], left[o.Partition] = o.Offset, o.Offset
		})
		if ctx.Err() != nil {
			f.t.Fatalf("the ends of the partitions cannot be had: %v", err)
		}
	}
	process := f.rec.Process(checker.Client{})
	f.rec.Invoke(checker.Op{Process: process, Kind: checker.Assign})
	for p, end := range left {
		if end == 0 {
			delete(left, p)
		}
	}
	for len(left) > 0 {
		fetches, _ := f.poll(ctx, cl, process, nil)
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
		if ctx.Err() != nil {
			f.t.Fatalf("partitions and ends still to read after %v: %v; %s", finishWithin, left, f.open())
		}
	}
	return ends
}

// verdict judges a history and keeps it when it is bad.
func (f *flow) verdict(history *checker.History) *checker.Report {
	f.t.Helper()
	report := checker.Check(history)
	f.mu.Lock()
	for reason, n := range f.refused {
		f.t.Logf("%d times: %s", n, reason)
	}
	f.mu.Unlock()
	f.t.Logf("%d operations: %d records sent, %d acknowledged, %d read; notes %v", len(history.Ops), report.Sent, report.Acked, report.Read, report.Notes)
	if !report.Failed() {
		return report
	}
	f.t.Errorf("%v", report)
	dir := os.Getenv("MILLRACE_E2E_LOGS")
	if dir == "" {
		dir = os.TempDir()
	}
	path := filepath.Join(dir, fmt.Sprintf("history-%s-%d.txt", filepath.Base(f.t.Name()), os.Getpid()))
	if err := f.rec.Dump(path); err != nil {
		f.t.Error(err)
	}
	f.t.Logf("the history is in %s", path)
	return report
}

// keys are the partitions of the flow.
func (f *flow) keys() (all []checker.Key) {
	for p := range f.cfg.partitions {
		all = append(all, checker.Key(p))
	}
	return all
}

// mustProgress wants acknowledged records in every one of the partitions (nil: in all), and returns how long it took.
func (f *flow) mustProgress(when string, within time.Duration, keys []checker.Key) time.Duration {
	f.t.Helper()
	if keys == nil {
		keys = f.keys()
	}
	began := time.Now()
	before := map[checker.Key]int{}
	for _, key := range keys {
		before[key] = f.rec.Acked(key)
	}
	for {
		waiting := slices.DeleteFunc(slices.Clone(keys), func(key checker.Key) bool { return f.rec.Acked(key) > before[key]+5 })
		if len(waiting) == 0 {
			return time.Since(began)
		}
		if time.Since(began) > within {
			f.t.Fatalf("%s: no progress within %v in partitions %v", when, within, waiting)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// mustBeMarkers wants whatever readers were told to be lost to be ends of transactions and nothing else. franz-go moves on over
// those without their leader epoch; when the leader changes before a record follows, it asks where the epoch of the record before
// ended, and takes that for a loss.
func (f *flow) mustBeMarkers() {
	f.t.Helper()
	f.mu.Lock()
	alarms := f.alarms
	f.mu.Unlock()
	for _, a := range alarms {
		if err := f.areMarkers(a.Partition, a.ResetTo, a.ConsumedTo); err != nil {
			f.t.Errorf("a reader was told: %v, and %v", &a, err)
		}
	}
}

func (f *flow) areMarkers(partition int32, from, to int64) error {
	cl := f.client(kgo.KeepControlRecords(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.cfg.topic: {partition: kgo.NewOffset().At(from)}}))
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	for from < to {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read offset %d: %w", from, err)
		}
		for _, r := range fetches.Records() {
			if r.Offset < to && !r.Attrs.IsControl() {
				return fmt.Errorf("offset %d is a record, of epoch %d", r.Offset, r.LeaderEpoch)
			}
			from = r.Offset + 1
		}
	}
	return nil
}
