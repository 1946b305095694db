package group

import (
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// transactionCommitRequest is a TxnOffsetCommit whose topics exist and have their names. Its transaction was verified
// under guard.
type transactionCommitRequest struct {
	key   groupKey
	body  *kmsg.TxnOffsetCommitRequest
	guard uint64
}

// commitInTransaction writes offsets that count once the transaction is committed. The session of a member is not renewed,
// as in Kafka.
func (s *shard) commitInTransaction(e transactionCommitRequest, ticket coordinator.Ticket, now time.Time, do *effects) {
	g := s.lookup(e.key)
	if err := g.validateTransactionCommit(e.body); err != nil {
		do.replyNow(ticket, TransactionCommitError(e.body, err))
		return
	}
	r := TransactionCommitError(e.body, nil)
	for i, topic := range e.body.Topics {
		for j, p := range topic.Partitions {
			metadata := ""
			if p.Metadata != nil {
				metadata = *p.Metadata
			}
			if s.isTooLarge(metadata) {
				r.Topics[i].Partitions[j].ErrorCode = kerr.OffsetMetadataTooLarge.Code
				continue
			}
			if s.staleCommit(g, e.body.MemberID, e.body.Generation, topic.Topic, p.Partition) != nil {
				do.Records = nil // as in Kafka, one that is not its own refuses all of them
				do.replyNow(ticket, TransactionCommitError(e.body, kerr.IllegalGeneration))
				return
			}
			leaderEpoch := int32(-1)
			if e.body.Version >= 2 {
				leaderEpoch = p.LeaderEpoch
			}
			do.write(offsetRecord(e.key, topic.Topic, p.Partition, committedOffset{
				offset: p.Offset, leaderEpoch: leaderEpoch, metadata: metadata, commitMillis: now.UnixMilli(), expireMillis: -1,
			}))
		}
	}
	s.figures.commits += int64(len(do.Records))
	do.Transaction = &coordinator.Transaction{
		Producer: coordinator.Producer{ID: e.body.ProducerID, Epoch: e.body.ProducerEpoch}, Guard: e.guard,
	}
	do.reply(ticket, r)
}

// anyCommitVersion stands for a version of OffsetCommit that knows every error: that of a TxnOffsetCommit says nothing of it.
const anyCommitVersion = math.MaxInt16

// validateTransactionCommit says whether a producer may commit for the group. One that says nothing of a member (before
// version 3, or with offsets but no group metadata) may always; one that does must have its group's present view
// (KIP-447). g is nil when the group is not there.
func (g *group) validateTransactionCommit(r *kmsg.TxnOffsetCommitRequest) *kerr.Error {
	switch {
	case g == nil && r.Generation < 0:
		return nil
	case g == nil:
		return kerr.IllegalGeneration
	case r.Generation < 0 && g.isEmpty():
		return nil
	case r.Generation < 0 && r.MemberID == "" && r.InstanceID == nil:
		return nil
	case g.streams != nil:
		err := g.streams.validateCommit(r.MemberID, r.Generation, anyCommitVersion)
		if err == kerr.StaleMemberEpoch {
			return kerr.IllegalGeneration
		}
		return err
	case g.consumer != nil:
		err := g.consumer.validateCommit(r.MemberID, r.Generation, anyCommitVersion)
		if err == kerr.StaleMemberEpoch {
			return kerr.IllegalGeneration // what producers know
		}
		return err
	}
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		return err
	}
	if r.Generation != g.generation {
		return kerr.IllegalGeneration
	}
	return nil
}

// TransactionCommitError answers each partition of a TxnOffsetCommit with the error; nil is success.
func TransactionCommitError(body *kmsg.TxnOffsetCommitRequest, err *kerr.Error) *kmsg.TxnOffsetCommitResponse {
	r := kmsg.NewPtrTxnOffsetCommitResponse()
	for _, topic := range body.Topics {
		t := kmsg.NewTxnOffsetCommitResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewTxnOffsetCommitResponseTopicPartition()
			p.Partition = partition.Partition
			if err != nil {
				p.ErrorCode = err.Code
			}
			t.Partitions = append(t.Partitions, p)
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}
