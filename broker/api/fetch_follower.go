package api

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
)

// Fetch by a follower: the same request with a replica id, on the listener between brokers.
// Kafka: ReplicaManager.fetchMessages for FetchParams.isFromFollower, FetchManager.
//
// Deviations:
//   - a follower's session belongs to its connection, and holds what replica.FollowerSession says;
//   - a request that closes a session which waits on another connection only ends that wait: the follower has something
//     else to ask;
//   - a new high watermark alone is told a little later, with what else comes up meanwhile.
//
// While there is nothing to say the request is suspended, as a consumer's is: who appends answers it.

// fetchForFollower answers a follower. What it asks for is taken in before anything is read, so that the answer tells
// the high watermark that comes of it.
func (s *session) fetchForFollower(w *server.Writer, a *fetchAnswer) error {
	r := &s.fetch.walked
	err := s.checkFollower(r, a.version)
	switch {
	case err != nil:
	case r.SessionEpoch == finalSessionEpoch:
		s.endFollower(r)
		return s.encodeFetch(w, a)
	default:
		err = s.resumeFollower(r)
	}
	if err != nil {
		a.code, _ = protocolError(err)
		return s.encodeFetch(w, a)
	}
	a.sessionID = s.follower.ID
	s.askFor(r)
	s.fetch.following = true
	s.fetch.deadline = s.fetch.began.Add(time.Duration(r.MaxWaitMillis) * time.Millisecond)
	s.follower.Reminded() // of what this request tells by the way
	return s.finishFollower(w)
}

// finishFollower answers the request once there is something to say, or suspends it.
func (s *session) finishFollower(w *server.Writer) error {
	f := &s.fetch
	found, err := s.awaitNews(w)
	if err != nil || f.suspended {
		return err
	}
	f.following = false
	defer f.release()
	if f.parked {
		w.Unpark()
	}
	for i := range found {
		f.targets = append(f.targets, followerTarget(&found[i]))
	}
	s.follower.Told(found)
	return s.encodeFetch(w, &f.answer)
}

// checkFollower refuses whoever is not the broker that it says it is.
func (s *session) checkFollower(r *fetchRequest, version int16) error {
	if !s.services.isInternal(s.call.Peer) || version < 15 {
		return kerr.ClusterAuthorizationFailed
	}
	if known := s.follower != nil && s.follower.NodeID == r.ReplicaID; !known && s.call.Identity.Principal != BrokerPrincipal(r.ReplicaID) {
		return kerr.ClusterAuthorizationFailed
	}
	return s.services.Replicas.CheckFollower(r.ReplicaID, r.ReplicaEpoch)
}

// endFollower ends this connection's session, or the wait of one on another connection.
func (s *session) endFollower(r *fetchRequest) {
	if s.follower != nil && s.follower.ID == r.SessionID {
		s.follower.Close()
		s.follower = nil
		return
	}
	s.services.Replicas.InterruptFollower(r.ReplicaID, r.SessionID)
}

// resumeFollower begins a session, or goes on with the one of this connection.
func (s *session) resumeFollower(r *fetchRequest) error {
	f := s.follower
	switch {
	case r.SessionEpoch == initialSessionEpoch:
		if f != nil {
			f.Close()
		}
		s.follower = s.services.Replicas.NewFollowerSession(r.ReplicaID, r.ReplicaEpoch, s.waiter.Notify)
		s.follower.Epoch = 1
		return nil
	case f == nil || f.ID != r.SessionID || f.NodeID != r.ReplicaID || f.BrokerEpoch != r.ReplicaEpoch:
		return kerr.FetchSessionIDNotFound
	case f.Epoch != r.SessionEpoch:
		return kerr.InvalidFetchSessionEpoch
	}
	f.Epoch = nextEpoch(f.Epoch)
	f.Heard()
	return nil
}

// askFor takes in what the request names and forgets.
func (s *session) askFor(r *fetchRequest) {
	next := 0
	for _, t := range r.Forgotten {
		for _, number := range r.ForgottenIDs[next : next+t.Partitions] {
			s.follower.Forget(t.ID, number)
		}
		next += t.Partitions
	}
	next = 0
	for _, t := range r.Topics {
		for i := range r.Partitions[next : next+t.Partitions] {
			p := &r.Partitions[next+i]
			s.follower.Ask(t.ID, p.Index, replica.ReplicaFetch{
				CurrentLeaderEpoch: p.CurrentLeaderEpoch, FetchOffset: p.FetchOffset, LastFetchedEpoch: p.LastFetchedEpoch,
				LogStartOffset: p.LogStartOffset, MaxBytes: p.MaxBytes,
			})
		}
		next += t.Partitions
	}
}

// awaitNews returns what there is to say, at once when that is records or an error. It sets suspended when whoever brings news
// will go on.
func (s *session) awaitNews(w *server.Writer) ([]replica.Found, error) {
	f := &s.fetch
	found := f.found[:0]
	defer func() { f.found = found }()
	for {
		select {
		case <-s.follower.C: // what it tells of is looked at now
		default:
		}
		var urgent bool
		found, urgent = s.follower.Collect(found[:0], int(f.walked.MaxBytes))
		left := f.deadline.Sub(s.services.Clock())
		if urgent || left <= 0 || len(found) > 0 && s.follower.Reminded() || s.follower.Interrupted() || s.call.Context.Err() != nil {
			return found, nil
		}
		if len(found) > 0 {
			s.follower.Remind()
		}
		s.follower.Untold(found)
		if !f.parked {
			f.parked = true
			if err := w.Park(); err != nil {
				return nil, err
			}
		}
		if f.suspended = w.Suspend(left); f.suspended {
			return nil, nil
		}
		s.waitFor(s.call.Context, s.follower.C, left)
	}
}

// followerTarget is what was found of a partition in the form that is encoded.
func followerTarget(f *replica.Found) fetchTarget {
	t := fetchTarget{fetchPartition: fetchPartition{Index: f.Number}, id: f.Topic, highWatermark: f.HighWatermark, lastStable: f.LogEndOffset,
		logStartOffset: f.LogStartOffset, preferred: -1, slice: f.Slice, divergingEpoch: -1, divergingEnd: -1, respond: true}
	if f.Err != nil {
		t.code, _ = protocolError(f.Err)
	}
	if f.Diverging.EndOffset >= 0 {
		t.divergingEpoch, t.divergingEnd = f.Diverging.Epoch, f.Diverging.EndOffset
	}
	f.Slice = log.Slice{} // the target has it now
	return t
}
