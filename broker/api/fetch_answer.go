package api

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/server"
)

// fetchAnswer is the part of an answer that is not of a partition.
type fetchAnswer struct {
	correlationID int32
	version       int16
	code          int16
	sessionID     int32
}

// encodeFetch writes the answer: the partitions of s.fetch that respond, consecutive ones of a topic together.
func (s *session) encodeFetch(w *server.Writer, a *fetchAnswer) error {
	flexible := a.version >= 12
	w.Begin(a.correlationID, flexible)
	e := encoder{b: w.Buf, flexible: flexible}
	e.int32(0) // throttle
	if a.version >= 7 {
		e.int16(a.code)
		e.int32(a.sessionID)
	}
	targets := s.fetch.targets
	if a.code != 0 {
		targets = nil
	}
	unknownLast(targets)
	e.array(countTopics(targets))
	for len(targets) > 0 {
		run, respond := topicRun(targets)
		if respond > 0 {
			s.encodeFetchTopic(&e, a.version, &targets[0])
			e.array(respond)
			for i := range targets[:run] {
				if t := &targets[i]; t.respond {
					if err := s.encodeFetchPartition(w, &e, a.version, t); err != nil {
						return err
					}
				}
			}
			e.noTags()
		}
		targets = targets[run:]
	}
	s.endpointsTag(&e)
	w.Buf = e.b
	w.End()
	return nil
}

// unknownLast moves what does not exist behind what does, as Kafka answers: topic ids first, then topics and partitions.
func unknownLast(targets []fetchTarget) {
	for i := range targets {
		if targets[i].rank() > 0 {
			slices.SortStableFunc(targets, func(a, b fetchTarget) int { return cmp.Compare(a.rank(), b.rank()) })
			return
		}
	}
}

// topicRun returns how many of the first targets are of one topic, and how many of those respond.
func topicRun(targets []fetchTarget) (run, respond int) {
	for i := range targets {
		if targets[i].id != targets[0].id || targets[i].topic != targets[0].topic ||
			targets[i].topic == nil && !bytes.Equal(targets[i].asked(), targets[0].asked()) {
			break
		}
		run++
		if targets[i].respond {
			respond++
		}
	}
	return run, respond
}

func countTopics(targets []fetchTarget) (topics int) {
	for len(targets) > 0 {
		run, respond := topicRun(targets)
		if respond > 0 {
			topics++
		}
		targets = targets[run:]
	}
	return topics
}

func (t *fetchTarget) rank() int {
	switch t.code {
	case kerr.UnknownTopicID.Code:
		return 1
	case kerr.UnknownTopicOrPartition.Code:
		return 2
	}
	return 0
}

// asked is the name that the client used.
func (t *fetchTarget) asked() []byte {
	if t.cached != nil {
		return []byte(t.cached.key.name)
	}
	return t.name
}

func (s *session) encodeFetchTopic(e *encoder, version int16, t *fetchTarget) {
	switch {
	case version >= 13:
		e.uuid(t.id)
	case t.topic != nil:
		e.text(t.topic.Name)
	default:
		e.string(t.asked())
	}
}

func (s *session) encodeFetchPartition(w *server.Writer, e *encoder, version int16, t *fetchTarget) error {
	e.int32(t.Index)
	e.int16(t.code)
	e.int64(t.highWatermark)
	e.int64(t.lastStable)
	if version >= 5 {
		e.int64(t.logStartOffset)
	}
	if s.fetch.walked.Isolation == readCommitted && t.code == 0 {
		e.array(len(t.aborted))
		for _, a := range t.aborted {
			e.int64(a.ProducerID)
			e.int64(a.FirstOffset)
			e.noTags()
		}
	} else {
		e.array(-1)
	}
	if version >= 11 {
		e.int32(t.preferred)
	}
	if err := encodeRecords(w, e, t); err != nil {
		return err
	}
	if s.fetch.walked.ReplicaID < 0 {
		s.api.metrics.recordBytesOut.Add(float64(t.slice.SizeBytes))
	}
	s.encodeFetchTags(e, version, t)
	return nil
}

// encodeRecords hands the slice to the writer, which releases it.
func encodeRecords(w *server.Writer, e *encoder, t *fetchTarget) error {
	if e.flexible {
		e.uvarint(uint32(t.slice.SizeBytes + 1))
	} else {
		e.int32(int32(t.slice.SizeBytes))
	}
	if t.slice.SizeBytes == 0 {
		return nil
	}
	slice := t.slice
	t.slice.Bytes, t.slice.File = nil, nil
	t.handed = true
	w.Buf = e.b
	err := w.Slice(slice)
	e.b = w.Buf
	return err
}

func (s *session) encodeFetchTags(e *encoder, version int16, t *fetchTarget) {
	if !e.flexible {
		return
	}
	tellLeader := version >= 16 && t.topic != nil && (t.code == kerr.NotLeaderForPartition.Code || t.code == kerr.FencedLeaderEpoch.Code)
	fields := uint32(0)
	if t.divergingEpoch >= 0 {
		fields++
	}
	if tellLeader {
		fields++
	}
	e.uvarint(fields)
	if t.divergingEpoch >= 0 {
		e.uvarint(0)
		e.uvarint(4 + 8 + 1)
		e.int32(t.divergingEpoch)
		e.int64(t.divergingEnd)
		e.noTags()
	}
	if tellLeader {
		s.leaderTag(e, 1, t.topic, t.Index)
	}
}
