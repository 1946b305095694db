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

// watermarkDelay is how long an answer without records may wait for some: a follower under load learns of high
// watermarks by the way, and one that idles has them soon enough for its readers.
const watermarkDelay = 5 * time.Millisecond

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
	found, err := s.awaitNews(w, r)
	if err != nil {
		return err
	}
	for i := range found {
		s.fetch.targets = append(s.fetch.targets, followerTarget(&found[i]))
	}
	s.follower.Told(found)
	return s.encodeFetch(w, a)
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
		s.follower = s.services.Replicas.NewFollowerSession(r.ReplicaID, r.ReplicaEpoch)
		s.follower.Epoch = 1
		return nil
	case f == nil || f.ID != r.SessionID || f.NodeID != r.ReplicaID || f.BrokerEpoch != r.ReplicaEpoch:
		return kerr.FetchSessionIDNotFound
	case f.Epoch != r.SessionEpoch:
		return kerr.InvalidFetchSessionEpoch
	}
	f.Epoch = nextEpoch(f.Epoch)
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

// awaitNews returns what there is to say, at once when that is records or an error.
func (s *session) awaitNews(w *server.Writer, r *fetchRequest) ([]replica.Found, error) {
	deadline := s.services.Clock().Add(time.Duration(r.MaxWaitMillis) * time.Millisecond)
	found := s.fetch.found[:0]
	defer func() { s.fetch.found = found }()
	parked, delayed := false, false
	for {
		var urgent bool
		found, urgent = s.follower.Collect(found[:0], int(r.MaxBytes))
		now := s.services.Clock()
		if len(found) > 0 && !delayed {
			delayed = true
			if soon := now.Add(watermarkDelay); soon.Before(deadline) {
				deadline = soon
			}
		}
		left := deadline.Sub(now)
		if urgent || left <= 0 || s.follower.Interrupted() || s.call.Context.Err() != nil {
			return found, nil
		}
		s.follower.Untold(found)
		if !parked {
			parked = true
			defer w.Unpark()
			if err := w.Park(); err != nil {
				return nil, err
			}
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
