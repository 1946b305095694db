package replica

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica/isr"
)

// throttleSlack is how far copying may run ahead of a throttle before it rests.
const throttleSlack = 20 * time.Millisecond

// errRoleChanged says that the partition does not follow the epoch any more in which something was fetched.
var errRoleChanged = errors.New("the partition's role has changed")

// roundState is what a round has appended. Its storage is reused.
type roundState struct {
	batches  []record.Batch
	appended []*fetchState // whose logs are to be flushed
	logs     []*log.Log    // parallel to appended
	told     []toldState
	resting  []resting // throttled ones, once they are flushed
}

type resting struct {
	state *fetchState
	until time.Time
}

type toldState struct {
	state                   *fetchState
	highWatermark, logStart int64
}

// apply works off the partitions of an answer: all are appended, then flushed together, and only then do they ask again
// and learn how far records are committed.
func (f *fetcher) apply(a *fetchAnswer) {
	r := &f.round
	for i := range a.parts {
		part := &a.parts[i]
		s := f.states[part.key]
		if s == nil {
			continue
		}
		if err := f.applyPart(s, part); err != nil {
			f.partFailed(s, err)
		}
	}
	f.flush()
	for _, t := range r.told {
		if f.states[t.state.key] != t.state {
			continue
		}
		t.state.partition.tell(t.state.epoch, t.highWatermark, t.logStart)
		if t.state.logStart != t.state.partition.LogStartOffset() && t.state.notBefore.IsZero() {
			t.state.measure()
			f.name(t.state) // the leader may wait for log start offsets
		}
	}
	for _, x := range r.resting {
		if f.states[x.state.key] == x.state {
			x.state.throttled = true
			f.rest(x.state, x.until)
		}
	}
	clear(r.resting)
	clear(r.batches)
	clear(r.appended)
	clear(r.logs)
	clear(r.told)
	r.batches, r.appended, r.logs, r.told, r.resting = r.batches[:0], r.appended[:0], r.logs[:0], r.told[:0], r.resting[:0]
}

func (f *fetcher) applyPart(s *fetchState, part *fetchedPart) error {
	switch {
	case part.code == kerr.OffsetOutOfRange.Code:
		if err := s.partition.reset(s.epoch, isr.OutOfRange(s.partition.LogEndOffset(), part.logStart, part.lastStable)); err != nil {
			return err
		}
		return f.again(s)
	case part.code != 0:
		return kerr.ErrorForCode(part.code)
	case part.diverging.Epoch >= 0 || part.diverging.EndOffset >= 0:
		if err := s.partition.cut(s.epoch, part.diverging); err != nil {
			return err
		}
		return f.again(s)
	}
	if len(part.records) > 0 {
		if err := f.appendPart(s, part.records); err != nil {
			return err
		}
	}
	s.backoff = 0
	f.round.told = append(f.round.told, toldState{s, part.highWatermark, part.logStart})
	return nil
}

// again asks for the partition from where its log ends now.
func (f *fetcher) again(s *fetchState) error {
	if err := s.partition.makeHeld(); err != nil {
		return err
	}
	s.measure()
	f.forget(s)
	f.name(s)
	return nil
}

func (f *fetcher) appendPart(s *fetchState, records []byte) error {
	r := &f.round
	batches, err := checkFetched(r.batches[:0], records, s.epoch)
	r.batches = batches
	if err != nil {
		return err
	}
	l, err := s.partition.appendFetched(s.epoch, s.offset, batches)
	if err != nil {
		return err
	}
	r.appended, r.logs = append(r.appended, s), append(r.logs, l)
	f.manager.metrics.bytesIn.Add(float64(len(records)))
	now := time.Now()
	if wait := s.partition.copied(len(records), now); wait > throttleSlack {
		r.resting = append(r.resting, resting{s, now.Add(wait)})
	}
	return nil
}

// checkFetched splits what a leader sent into batches and refuses what is not as it was written: a leader whose disk
// fails must not spread it. A batch of a later epoch than the one that is followed comes from a log that is being changed
// under the leader's hands.
func checkFetched(batches []record.Batch, records []byte, epoch int32) ([]record.Batch, error) {
	for len(records) > 0 {
		b, rest, err := record.Split(records)
		if err == nil {
			err = b.VerifyCRC()
		}
		if err != nil {
			return batches, fmt.Errorf("batch from the leader: %w", err)
		}
		if b.PartitionLeaderEpoch() > epoch {
			return batches, fmt.Errorf("batch from the leader is of epoch %d, followed is %d: %w", b.PartitionLeaderEpoch(), epoch, kerr.FencedLeaderEpoch)
		}
		batches, records = append(batches, b), rest
	}
	return batches, nil
}

// flush makes what the round has appended durable, all of it together, unless the topics are write-cached.
func (f *fetcher) flush() {
	r := &f.round
	if !f.key.cached {
		log.RequestFlushes(r.logs)
	}
	for i, s := range r.appended {
		if !f.key.cached {
			if err := r.logs[i].AwaitFlush(); err != nil {
				f.partFailed(s, s.partition.failed(err))
				continue
			}
		}
		if f.states[s.key] == s && s.notBefore.IsZero() {
			s.measure()
			f.name(s)
		}
	}
}

// partFailed lets one partition rest. Kafka: AbstractFetcherThread.processFetchRequest.
func (f *fetcher) partFailed(s *fetchState, err error) {
	if errors.Is(err, errRoleChanged) {
		f.drop(s) // the change is on its way to this fetcher
		return
	}
	s.inSession = false // the leader forgets it after an error; forgetting it twice does no harm
	f.forgotten = append(f.forgotten, s.key)
	if s.backoff == 0 {
		f.manager.cfg.Logger.Debug("fetch of a partition failed", "topic", s.partition.Topic.Name, "partition", s.key.number, "leader", f.key.leader, "error", err)
	}
	f.delay(s)
}
