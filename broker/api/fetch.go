package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/metadata/image"
)

// Fetch (key 1), versions 4 to 18.
// Kafka: KafkaApis.handleFetchRequest, ReplicaManager.fetchMessages and readFromLog, DelayedFetch.
//
// Deviations:
//   - a fetch with a replica id is refused on client listeners;
//   - a leader that does not know yet how far its predecessor was tells no high watermark (-1), lets who has read all that it
//     knows to be committed wait, and then answers OFFSET_NOT_AVAILABLE;
//   - so does a follower that is asked for more than it has, where Kafka answers OFFSET_OUT_OF_RANGE.

// fetchState is the Fetch request that a connection is busy with. Its storage is reused.
type fetchState struct {
	walked  fetchRequest
	targets []fetchTarget
	watches []replica.Watch
	found   []replica.Found // for a follower

	// What is needed to go on with a request that waits.
	limits    fetchLimits
	deadline  time.Time
	began     time.Time
	answer    fetchAnswer
	context   fetchContext
	parked    bool
	suspended bool // registered with the partitions, and left to Resume
	following bool // the request is a follower's
}

// fetchedElementBytes is what a topic or partition of a Fetch takes in memory until it is answered.
const fetchedElementBytes = 1024

// fetchTarget is one partition of a fetch: what is asked, and what was found.
type fetchTarget struct {
	fetchPartition
	name   []byte        // as asked; valid while the frame is
	id     image.TopicID // as asked
	topic  *replica.Topic
	cached *sessionPartition // nil outside a fetch session

	partition      *replica.Partition // nil when there was an error
	code           int16
	highWatermark  int64
	lastStable     int64
	logStartOffset int64
	leaderEpoch    int32 // in which the partition was read
	preferred      int32 // the replica that the client should rather read from; -1: this one
	unconfirmed    bool  // whether the code may be told depends on who follows this leader
	slice          log.Slice
	aborted        []log.AbortedTransaction
	divergingEpoch int32 // -1: none
	divergingEnd   int64
	respond        bool
	handed         bool // the writer has the slice
}

// fetchLimits are a request's limits after the broker's were applied.
type fetchLimits struct {
	maxBytes, minBytes int
	committed          bool
	version            int16
	rack               []byte // of the client
}

// handleFetch answers a request, waiting for data if that is what the client wants.
func (s *session) handleFetch(req *server.Request, w *server.Writer) error {
	f := &s.fetch
	if !f.walked.walk(req.Body, req.Version) {
		return fmt.Errorf("fetch request version %d cannot be decoded, or names more than %d topics and partitions", req.Version, maxElements)
	}
	s.call.Version, s.call.ClientID = req.Version, req.ClientID
	r := &f.walked
	budgeted, err := s.admitElements(req, len(r.Topics)+len(r.Partitions)+len(r.Forgotten)+len(r.ForgottenIDs), fetchedElementBytes, false)
	if err != nil {
		return err
	}
	if budgeted > 0 {
		defer s.services.MemoryBudget.Release(budgeted)
		r.MaxWaitMillis = 0 // what others may wait for is not held while this one waits
	}
	f.parked, f.following = false, false
	if s.waiter.Notify == nil {
		s.waiter.Notify = w.Notifier()
	}
	f.answer = fetchAnswer{correlationID: req.CorrelationID, version: req.Version}
	if r.ReplicaID >= 0 {
		return s.fetchForFollower(w, &f.answer)
	}
	f.context = s.api.fetches.begin(s, r, req.Version)
	f.answer.code, f.answer.sessionID = f.context.code, f.context.id
	if f.answer.code != 0 {
		defer f.release()
		return s.encodeFetch(w, &f.answer)
	}
	f.limits = fetchLimits{
		maxBytes: min(int(r.MaxBytes), s.services.MaxFetchBytes), minBytes: int(r.MinBytes),
		committed: r.Isolation == readCommitted, version: req.Version, rack: r.Rack,
	}
	f.limits.minBytes = min(f.limits.minBytes, f.limits.maxBytes)
	f.deadline = f.began.Add(time.Duration(r.MaxWaitMillis) * time.Millisecond)
	return s.finishFetch(w, true)
}

// finishFetch answers the request once there is enough, or suspends it. mayAsk says that there is time to ask other brokers.
func (s *session) finishFetch(w *server.Writer, mayAsk bool) error {
	f := &s.fetch
	if err := s.gather(w); err != nil || f.suspended {
		return err
	}
	defer f.release()
	s.settleBeyond(mayAsk)
	if f.parked {
		w.Unpark()
	}
	f.answer.code = s.api.fetches.end(s, &f.context)
	return s.encodeFetch(w, &f.answer)
}

// gather reads what there is until it is enough, an error must be told, or the client has waited long enough. It sets
// suspended when whoever brings more will go on.
func (s *session) gather(w *server.Writer) error {
	f := &s.fetch
	for s.lacks() {
		if !f.parked {
			f.parked = true
			if err := w.Park(); err != nil {
				s.unwatch()
				return err
			}
		}
		left := f.deadline.Sub(s.services.Clock())
		if f.suspended = w.Suspend(left); f.suspended {
			return nil
		}
		s.wait(s.call.Context, left)
		s.unwatch()
	}
	return nil
}

// lacks reads what there is and reports whether the answer has to wait for more; then it has registered for that.
func (s *session) lacks() bool {
	f := &s.fetch
	for {
		f.releaseSlices()
		bytes, urgent := s.read(f.limits)
		if bytes >= f.limits.minBytes || urgent || len(f.targets) == 0 || !f.deadline.After(s.services.Clock()) || s.call.Context.Err() != nil {
			return false
		}
		s.waiter.Reset(int64(f.limits.minBytes - bytes))
		s.watch()
		if !f.changed(f.limits.committed) {
			return true
		}
		s.unwatch()
	}
}

// watch registers with every partition of the fetch.
func (s *session) watch() {
	f := &s.fetch
	if cap(f.watches) < len(f.targets) {
		f.watches = make([]replica.Watch, len(f.targets))
	}
	f.watches = f.watches[:len(f.targets)]
	for i := range f.targets {
		f.targets[i].partition.AwaitBytes(&f.watches[i], s.waiter)
	}
}

func (s *session) unwatch() {
	f := &s.fetch
	for i := range f.targets {
		f.targets[i].partition.ForgetBytes(&f.watches[i])
	}
}

// changed reports whether a partition has more to read, or cannot be read any more, since it was last read.
func (f *fetchState) changed(committed bool) bool {
	for i := range f.targets {
		t := &f.targets[i]
		if t.highWatermark < 0 { // it was not known, or the offset lies beyond a follower's log
			if t.partition.HighWatermarkKnown() && t.FetchOffset <= t.partition.LogEndOffset() || t.partition.ReadErr() != nil {
				return true
			}
			continue
		}
		if t.partition.HighWatermark() != t.highWatermark || t.partition.ReadErr() != nil || t.partition.LeaderEpoch() != t.leaderEpoch ||
			committed && t.partition.LastStableOffset() != t.lastStable {
			return true
		}
	}
	return false
}

func (f *fetchState) releaseSlices() {
	for i := range f.targets {
		if t := &f.targets[i]; t.slice.SizeBytes > 0 && !t.handed {
			t.slice.Release()
			t.slice = log.Slice{}
		}
	}
}

// release forgets the request; a fetch that was much larger than usual does not keep its storage.
func (f *fetchState) release() {
	f.releaseSlices()
	if len(f.targets) > 4096 {
		*f = fetchState{}
		return
	}
	clear(f.targets)
	f.targets = f.targets[:0]
}

// read evaluates every partition in order within the limits. urgent says that the answer must not wait.
func (s *session) read(limits fetchLimits) (bytes int, urgent bool) {
	f := &s.fetch
	for i := range f.targets {
		t := &f.targets[i]
		t.highWatermark, t.lastStable, t.logStartOffset, t.divergingEpoch, t.preferred, t.code, t.unconfirmed = -1, -1, -1, -1, -1, 0, false
		if err := s.readTarget(t, limits, limits.maxBytes-bytes, bytes == 0); err != nil {
			code, _ := protocolError(err)
			t.code = fetchCode(code, limits.version)
			t.highWatermark, t.lastStable, t.logStartOffset = -1, -1, -1
			s.api.metrics.failed("Fetch", t.code)
			urgent = urgent || t.code != kerr.OffsetNotAvailable.Code // that may come to an end while the client waits
		}
		urgent = urgent || t.divergingEpoch >= 0 || t.preferred >= 0
		bytes += t.slice.SizeBytes
	}
	return bytes, urgent
}

// fetchCode is the code that the client's version knows: old ones take an unknown code for a fatal error.
func fetchCode(code, version int16) int16 {
	if code == kerr.KafkaStorageError.Code && version <= 5 || code == kerr.OffsetNotAvailable.Code && version <= 10 {
		return kerr.NotLeaderForPartition.Code
	}
	return code
}

// readTarget reads one partition: at most room bytes, but one whole batch if it is the first of the answer.
func (s *session) readTarget(t *fetchTarget, limits fetchLimits, room int, first bool) error {
	t.partition = nil
	if err := s.resolveTarget(t, limits.version); err != nil {
		return err
	}
	p, kafkaErr := s.findForReader(t, limits.version)
	if kafkaErr != nil {
		return kafkaErr
	}
	t.leaderEpoch = p.LeaderEpoch()
	t.partition = p
	known := p.HighWatermarkKnown()
	highWatermark, lastStable := p.HighWatermark(), p.LastStableOffset()
	t.logStartOffset = p.LogStartOffset()
	if known {
		t.highWatermark, t.lastStable = highWatermark, lastStable
	} else if t.FetchOffset >= highWatermark {
		return kerr.OffsetNotAvailable
	}
	if limits.version < 10 && t.topic.Settings().Zstd() {
		return kerr.UnsupportedCompressionType
	}
	l := p.Log()
	if diverging, err := diverges(t, p); diverging || err != nil {
		return t.beyond(err)
	}
	if t.FetchOffset > p.LogEndOffset() && !p.Leads() {
		return kerr.OffsetNotAvailable
	}
	if t.FetchOffset < t.logStartOffset || t.FetchOffset > p.LogEndOffset() {
		return t.beyond(kerr.OffsetOutOfRange)
	}
	if t.preferred = p.PreferredReplica(limits.rack, t.FetchOffset); t.preferred >= 0 {
		return nil
	}
	upTo := highWatermark
	if limits.committed && !(planted.Enabled && planted.Is(planted.ShowsOpenTransactions)) {
		upTo = lastStable
	}
	room = min(room, int(t.MaxBytes))
	if l == nil || t.FetchOffset >= upTo || room <= 0 && !first {
		return nil
	}
	var err error
	if t.slice, err = l.Read(t.FetchOffset, upTo, max(room, 0), first); err != nil {
		t.slice = log.Slice{}
		return err
	}
	if planted.Enabled {
		s.plantedSpoil(t, upTo, room)
	}
	if limits.committed && !(planted.Enabled && planted.Is(planted.ListsNoAborted)) {
		t.aborted = l.AbortedTransactions(t.FetchOffset, t.slice.Bound())
	}
	return nil
}

// beyond is what a reader is told whose position is not in the log. A leader that may have a successor does not say that it
// is out of range: the reader was there, and would begin again at the start or the end.
func (t *fetchTarget) beyond(err error) error {
	p := t.partition
	if !errors.Is(err, kerr.OffsetOutOfRange) || !p.Leads() && p.LeaderEpoch() == t.leaderEpoch {
		return err // a follower's
	}
	switch p.Standing(t.leaderEpoch) {
	case replica.Doubtful:
		return kerr.NotLeaderForPartition
	case replica.Unsure:
		t.unconfirmed = true
	}
	return err
}

// settleBeyond asks whether what may be old is not; see beyond. Where there is no time for that, the client asks again.
func (s *session) settleBeyond(mayAsk bool) {
	var claims []replica.Claim
	var open []*fetchTarget
	for i := range s.fetch.targets {
		if t := &s.fetch.targets[i]; t.unconfirmed {
			claims, open = append(claims, replica.Claim{Partition: t.partition, LeaderEpoch: t.leaderEpoch}), append(open, t)
		}
	}
	if len(claims) == 0 {
		return
	}
	confirmed := make([]bool, len(claims))
	if mayAsk {
		confirmed = s.services.Replicas.Confirm(s.call.Context, claims...)
	}
	for i, t := range open {
		if !confirmed[i] {
			t.code = kerr.NotLeaderForPartition.Code
		}
	}
}

// findForReader finds the partition. From version 11 on clients may read from followers, too (KIP-392).
func (s *session) findForReader(t *fetchTarget, version int16) (*replica.Partition, *kerr.Error) {
	if version >= 11 {
		return s.services.Replicas.FindReadable(t.topic, t.Index, t.CurrentLeaderEpoch)
	}
	return s.services.Replicas.FindAt(t.topic, t.Index, t.CurrentLeaderEpoch)
}

// resolveTarget finds the topic. A cached partition keeps it until the topic is gone.
func (s *session) resolveTarget(t *fetchTarget, version int16) error {
	if t.topic != nil && !t.topic.Removed() {
		return nil
	}
	if t.topic != nil {
		t.name = []byte(t.topic.Name) // the frame may be gone
	}
	unknown := kerr.UnknownTopicOrPartition
	switch {
	case version >= 13:
		t.topic, unknown = s.services.Replicas.TopicByID(t.id), kerr.UnknownTopicID
	case t.cached != nil:
		t.topic = s.services.Replicas.TopicByName(s.call.Identity.Tenant, []byte(t.cached.key.name))
	default:
		t.topic = s.services.Replicas.TopicByName(s.call.Identity.Tenant, t.name)
	}
	if t.topic != nil && t.topic.Tenant != s.call.Identity.Tenant {
		t.topic = nil
	}
	if t.cached != nil {
		t.cached.topic = t.topic
	}
	if t.topic == nil {
		return unknown
	}
	return nil
}

// diverges finds where the reader's log and this one part, from the epoch of the last record that the reader has.
func diverges(t *fetchTarget, p *replica.Partition) (bool, error) {
	if t.LastFetchedEpoch < 0 {
		return false, nil
	}
	epoch, end, err := p.EndOffsetForEpoch(t.LastFetchedEpoch)
	if err != nil {
		return false, err
	}
	if end < 0 {
		return false, kerr.OffsetOutOfRange
	}
	if epoch >= t.LastFetchedEpoch && end >= t.FetchOffset {
		return false, nil
	}
	t.divergingEpoch, t.divergingEnd = epoch, end
	return true, nil
}
