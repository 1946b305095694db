package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// TxnOffsetCommit, key 28, versions 0 to 6. Kafka: KafkaApis.handleTxnOffsetCommitRequest,
// GroupCoordinatorService.commitTransactionalOffsets, CoordinatorRuntime.scheduleTransactionalWriteOperation.
//
// Up to version 4 the partition of __consumer_offsets must be in the transaction (AddOffsetsToTxn), which is verified as
// for a Produce; from version 5 on it is added. From version 6 on topics are named by id. Offsets of topics that exist
// are committed, whatever becomes of the others.
//
// Deviation: topics are answered in the order of the request; Kafka puts the refused ones first.

const (
	// firstAddingCommit adds the group's partition to the transaction.
	firstAddingCommit = 5
	// firstAbortableCommit knows TRANSACTION_ABORTABLE.
	firstAbortableCommit = 4
	// firstLoadingCommit is of producers that survive COORDINATOR_LOAD_IN_PROGRESS (KAFKA-7296).
	firstLoadingCommit = 2
)

func txnOffsetCommit(s *Services, c *Call, r *kmsg.TxnOffsetCommitRequest) kmsg.Response {
	answer := s.commitInTransaction(c, r)
	answer.Version = r.Version
	for i := range answer.Topics {
		for j := range answer.Topics[i].Partitions {
			if p := &answer.Topics[i].Partitions[j]; p.ErrorCode == kerr.CoordinatorLoadInProgress.Code && r.Version < firstLoadingCommit {
				p.ErrorCode = kerr.CoordinatorNotAvailable.Code
			}
		}
	}
	return answer
}

func (s *Services) commitInTransaction(c *Call, r *kmsg.TxnOffsetCommitRequest) *kmsg.TxnOffsetCommitResponse {
	switch {
	case !s.Allowed(c, security.OperationWrite, security.ResourceTransactionalID, r.TransactionalID):
		return group.TransactionCommitError(r, kerr.TransactionalIDAuthorizationFailed)
	case !s.allowedOnGroup(c, security.OperationRead, r.Group):
		return group.TransactionCommitError(r, kerr.GroupAuthorizationFailed)
	}
	answer := group.TransactionCommitError(r, nil)
	commit, places := s.commitOfTopicsThatExist(c, r, answer)
	if len(places) == 0 {
		return answer
	}
	codes := s.commitVerified(c, &commit)
	for _, t := range codes.Topics {
		for _, p := range t.Partitions {
			answer.Topics[places[0].topic].Partitions[places[0].partition].ErrorCode = p.ErrorCode
			places = places[1:]
		}
	}
	return answer
}

// place is where a partition is in a request and its answer.
type place struct{ topic, partition int }

// commitOfTopicsThatExist returns what the coordinator is asked for, and where in the answer each partition of it is; the
// answer has the errors of the others.
func (s *Services) commitOfTopicsThatExist(c *Call, r *kmsg.TxnOffsetCommitRequest, answer *kmsg.TxnOffsetCommitResponse) (kmsg.TxnOffsetCommitRequest, []place) {
	i := s.Metadata.Image()
	commit := *r
	commit.Topics = nil
	var places []place
	for at, asked := range r.Topics {
		topic, fault := s.groupTopicOf(c, i, r.Version >= 6, asked.Topic, image.TopicID(asked.TopicID), security.OperationRead)
		exists := kmsg.NewTxnOffsetCommitRequestTopic()
		for n, p := range asked.Partitions {
			switch {
			case fault != nil:
				answer.Topics[at].Partitions[n].ErrorCode = fault.Code
			case topic.Partition(p.Partition) == nil:
				answer.Topics[at].Partitions[n].ErrorCode = kerr.UnknownTopicOrPartition.Code
			default:
				exists.Partitions = append(exists.Partitions, p)
				places = append(places, place{at, n})
			}
		}
		if len(exists.Partitions) > 0 {
			exists.Topic, exists.TopicID = topic.Name, asked.TopicID
			commit.Topics = append(commit.Topics, exists)
		}
	}
	return commit, places
}

// commitVerified asks the coordinator of the transaction, if it must, and then that of the group.
func (s *Services) commitVerified(c *Call, r *kmsg.TxnOffsetCommitRequest) *kmsg.TxnOffsetCommitResponse {
	if r.Group == "" {
		return group.TransactionCommitError(r, kerr.InvalidGroupID)
	}
	guard, fault := s.verifyCommit(c, r)
	if fault != nil {
		return group.TransactionCommitError(r, fault)
	}
	return s.Groups.TxnOffsetCommit(c.Context, groupCaller(c), r, uint64(guard))
}

func (s *Services) verifyCommit(c *Call, r *kmsg.TxnOffsetCommitRequest) (producer.Guard, *kerr.Error) {
	if r.ProducerID < 0 {
		return producer.NoGuard, kerr.InvalidProducerIDMapping
	}
	number := s.Groups.PartitionFor(c.Identity.Tenant, r.Group)
	if number < 0 {
		return producer.NoGuard, kerr.CoordinatorNotAvailable
	}
	p, fault := s.Replicas.ByName(security.DefaultTenant, groupMetadataTopic, number)
	if fault != nil {
		return producer.NoGuard, kerr.NotCoordinator
	}
	add := r.Version >= firstAddingCommit
	guard, err := p.BeginVerification(r.ProducerID, r.ProducerEpoch, -1, add)
	switch {
	case err != nil:
		return producer.NoGuard, committedRefusal(err, r.Version)
	case guard == producer.NoGuard:
		return guard, nil
	case s.Transactions == nil:
		return producer.NoGuard, kerr.CoordinatorNotAvailable
	case !add && !s.Transactions.Enabled():
		return producer.Unverified, nil
	}
	codes := s.Transactions.Ask(c.Context, &verify.Question{
		TransactionalID: coordinator.QualifiedName(c.Identity.Tenant, r.TransactionalID), ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch, Add: add,
		Partitions: []verify.TopicPartition{{Topic: groupMetadataTopic, Partition: number}},
	})
	if codes[0] != 0 {
		return producer.NoGuard, committedRefusal(kerr.TypedErrorForCode(codes[0]), r.Version)
	}
	return guard, nil
}

// committedRefusal is an error in words that the producer's version acts upon rightly. Where nobody knows what became of
// the question, and where old producers do not know that a transaction can be under completion, they try again.
func committedRefusal(err error, version int16) *kerr.Error {
	code, _ := protocolError(err)
	switch refusal := kerr.TypedErrorForCode(code); refusal {
	case kerr.NetworkException:
		return kerr.CoordinatorLoadInProgress
	case kerr.ConcurrentTransactions:
		if version < firstAddingCommit {
			return kerr.CoordinatorLoadInProgress
		}
		return refusal
	case kerr.TransactionAbortable:
		if version < firstAbortableCommit {
			return kerr.InvalidTxnState
		}
		return refusal
	case kerr.NotLeaderForPartition, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition:
		return kerr.NotCoordinator
	default:
		return refusal
	}
}
