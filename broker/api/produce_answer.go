package api

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
)

// errProduceUnacknowledged closes the connection of a producer with acks=0: it is the only way to tell it of an error.
var errProduceUnacknowledged = errors.New("a produce request with acks=0 failed")

// produceOutcome is one partition's part of an answer.
type produceOutcome struct {
	code                                         int16
	baseOffset, appendTimeMillis, logStartOffset int64
}

// answerProduce writes the answers of a burst in the order of its requests.
func (s *session) answerProduce(w *server.Writer) error {
	stage := &s.produce
	if planted.Enabled {
		if err := stage.plantedLoseAnswers(); err != nil {
			return err
		}
	}
	topics, results := stage.topics, stage.results
	var failed error
	for i := range stage.requests {
		r := &stage.requests[i]
		count := 0
		for j := range r.topics {
			count += topics[j].Partitions
		}
		if r.acks == 0 && r.err == nil {
			if err := s.checkUnacknowledged(results[:count]); err != nil {
				failed = err
			}
		} else {
			s.answerProduceRequest(w, r, topics[:r.topics], results[:count])
		}
		topics, results = topics[r.topics:], results[count:]
		if failed != nil {
			return failed
		}
	}
	return nil
}

func (s *session) checkUnacknowledged(results []stagedResult) error {
	for i := range results {
		if outcome := s.outcome(&stagedRequest{}, &results[i]); outcome.code != 0 {
			return fmt.Errorf("%w: %w", errProduceUnacknowledged, kerr.ErrorForCode(outcome.code))
		}
	}
	return nil
}

func (s *session) answerProduceRequest(w *server.Writer, r *stagedRequest, topics []stagedTopic, results []stagedResult) {
	flexible := r.version >= 9
	w.Begin(r.correlationID, flexible)
	e := encoder{b: w.Buf, flexible: flexible}
	e.array(len(topics))
	for i := range topics {
		t := &topics[i]
		if r.version >= 13 {
			e.uuid(t.ID)
		} else {
			e.string(t.Name)
		}
		e.array(t.Partitions)
		for j := range results[:t.Partitions] {
			outcome := s.outcome(r, &results[j])
			s.encodeProducePartition(&e, r, t, &results[j], outcome)
		}
		results = results[t.Partitions:]
		e.noTags()
	}
	e.int32(0) // throttle
	s.endpointsTag(&e)
	w.Buf = e.b
	w.End()
}

func (s *session) encodeProducePartition(e *encoder, r *stagedRequest, t *stagedTopic, result *stagedResult, o produceOutcome) {
	e.int32(result.index)
	e.int16(o.code)
	e.int64(o.baseOffset)
	e.int64(o.appendTimeMillis)
	if r.version >= 5 {
		e.int64(o.logStartOffset)
	}
	if r.version >= 8 {
		e.array(len(result.recordErrors))
		for i := range result.recordErrors {
			e.int32(result.recordErrors[i].Index)
			e.nullableText(result.recordErrors[i].Message)
			e.noTags()
		}
		e.nullableText(result.message)
	}
	if r.version >= 10 && o.code == kerr.NotLeaderForPartition.Code && t.topic != nil {
		e.uvarint(1)
		s.leaderTag(e, 0, t.topic, result.index)
		return
	}
	e.noTags()
}

// outcome says what became of one partition's records.
func (s *session) outcome(r *stagedRequest, result *stagedResult) produceOutcome {
	none := produceOutcome{code: result.code, baseOffset: -1, appendTimeMillis: -1, logStartOffset: refusedStartOffset(result)}
	if result.group < 0 {
		s.api.metrics.failed("Produce", none.code)
		return none
	}
	g := &s.produce.groups[result.group]
	entry := &g.entries[result.entry]
	err := entry.Err
	if err == nil && r.acks == replica.AcksAll {
		err = g.partition.Committed(entry.LastOffset+1, g.epoch)
	}
	if err != nil {
		result.refuse(err)
		none.code, none.logStartOffset = result.code, refusedStartOffset(result)
		s.api.metrics.failed("Produce", none.code)
		if none.code == kerr.DuplicateSequenceNumber.Code {
			none.code = 0 // Kafka answers success without an offset
		}
		return none
	}
	if planted.Enabled && plantedZero(entry) {
		return produceOutcome{appendTimeMillis: record.NoTimestamp}
	}
	return produceOutcome{baseOffset: entry.BaseOffset, appendTimeMillis: entry.LogAppendTimeMillis, logStartOffset: entry.LogStartOffset}
}

// refusedStartOffset is the log start offset in the answer to what was refused: Kafka tells it except for errors of the
// request, of the partition, of damaged or too large batches (ReplicaManager.appendToLocalLog), and of transactions that
// were not let in.
func refusedStartOffset(result *stagedResult) int64 {
	switch result.code {
	case 0, kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.MessageTooLarge.Code, kerr.RecordListTooLarge.Code,
		kerr.CorruptMessage.Code, kerr.KafkaStorageError.Code, kerr.RequestTimedOut.Code:
		return -1
	}
	if result.partition == nil || result.unverified {
		return -1
	}
	return result.partition.LogStartOffset()
}
