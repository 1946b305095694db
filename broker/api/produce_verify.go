package api

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/security"
)

// Transactional batches of a Produce. The first one of a transaction on a partition is written once the coordinator has
// said that the partition is in the transaction, or, from version 12 on, has added it (KIP-890). Kafka:
// ReplicaManager.handleProduceAppend, maybeSendPartitionsToTransactionCoordinator.
//
// All partitions of a burst that need it are asked about together, while the others are being written.

const (
	// firstAddingVersion of Produce adds its partitions to the transaction.
	firstAddingVersion = 12
	// firstAbortableVersion of Produce knows TRANSACTION_ABORTABLE.
	firstAbortableVersion = 11
)

// stagedVerification is a transactional batch of the burst.
type stagedVerification struct {
	group, entry, request int32
	result                int32 // of results
	asked                 bool
}

// stagedQuestion is asked about the partitions of a burst that one transaction begins on.
type stagedQuestion struct {
	verify.Question
	transactionalID []byte // as the producer names it; valid while the burst is
	codes           []int16
}

// checkTransactional decides on a request with transactional batches: they are all of one producer, who may use its
// transactional id.
func (s *session) checkTransactional(r *produceRequest) *kerr.Error {
	if r.TransactionalID == nil || !s.services.Allowed(&s.call, security.OperationWrite, security.ResourceTransactionalID, string(r.TransactionalID)) {
		return kerr.TransactionalIDAuthorizationFailed
	}
	var first record.Batch
	for _, p := range r.Partitions {
		if len(p.Records) < record.HeaderSize || !record.Batch(p.Records).Attributes().IsTransactional() {
			continue
		}
		b := record.Batch(p.Records)
		if first == nil {
			first = b
		} else if b.ProducerID() != first.ProducerID() || b.ProducerEpoch() != first.ProducerEpoch() {
			return kerr.InvalidProducerIDMapping
		}
	}
	return nil
}

// beginVerification finds out which batches begin a transaction on their partition, and makes the questions.
func (s *session) beginVerification() {
	stage := &s.produce
	for i := range stage.verified {
		v := &stage.verified[i]
		r, g := &stage.requests[v.request], &stage.groups[v.group]
		e := &g.entries[v.entry]
		add := r.version >= firstAddingVersion
		e.Guard, e.Err = g.partition.BeginVerification(e.Batch.ProducerID(), e.Batch.ProducerEpoch(), e.Batch.BaseSequence(), add)
		switch {
		case e.Err != nil:
			stage.results[v.result].unverified = true
		case e.Guard == producer.NoGuard:
		case s.services.Transactions == nil:
			e.Err = unverified(kerr.CoordinatorNotAvailable.Code, r.version)
		case !add && !s.services.Transactions.Enabled():
			e.Guard = producer.Unverified
		default:
			v.asked = true
			stage.ask(r, g, e.Batch, add)
		}
	}
}

// ask adds the group's partition to the question about a batch's transaction.
func (st *produceStage) ask(r *stagedRequest, g *produceGroup, b record.Batch, add bool) {
	i := st.question(r, g, b, add)
	q := &st.asked[i]
	if g.question == int32(i) {
		return
	}
	g.question, g.place = int32(i), int32(len(q.Partitions))
	q.Partitions = append(q.Partitions, verify.TopicPartition{Topic: g.partition.Topic.Name, Partition: g.partition.Number})
}

func (st *produceStage) question(r *stagedRequest, g *produceGroup, b record.Batch, add bool) int {
	for i := range st.asked {
		q := &st.asked[i]
		if q.ProducerID == b.ProducerID() && q.ProducerEpoch == b.ProducerEpoch() && q.Add == add &&
			bytes.Equal(q.transactionalID, r.transactionalID) {
			return i
		}
	}
	name := coordinator.QualifiedName(g.partition.Topic.Tenant, string(r.transactionalID))
	st.asked = append(st.asked, stagedQuestion{transactionalID: r.transactionalID, Question: verify.Question{
		TransactionalID: name, ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), Add: add,
	}})
	return len(st.asked) - 1
}

// askCoordinators asks, and refuses what is not in its transaction.
func (s *session) askCoordinators() {
	stage := &s.produce
	for i := range stage.asked {
		q := &stage.asked[i]
		q.codes = s.services.Transactions.Ask(s.call.Context, &q.Question)
	}
	for i := range stage.verified {
		v := &stage.verified[i]
		if !v.asked {
			continue
		}
		r, g := &stage.requests[v.request], &stage.groups[v.group]
		if code := stage.codeOf(r, g, g.entries[v.entry].Batch); code != 0 {
			g.entries[v.entry].Err = unverified(code, r.version)
			stage.results[v.result].unverified = true
		}
	}
}

// codeOf is what was answered about a batch. A partition that two producers' transactions begin on in one burst is in two
// questions, and the group knows its place in the last.
func (st *produceStage) codeOf(r *stagedRequest, g *produceGroup, b record.Batch) int16 {
	i := st.question(r, g, b, r.version >= firstAddingVersion)
	if int32(i) == g.question {
		return st.asked[i].codes[g.place]
	}
	for place, p := range st.asked[i].Partitions {
		if p.Topic == g.partition.Topic.Name && p.Partition == g.partition.Number {
			return st.asked[i].codes[place]
		}
	}
	return kerr.NetworkException.Code
}

// unverified is the refusal of a batch that the coordinator did not let in, in words that the producer's version acts upon
// rightly. What may be right a moment later is NOT_ENOUGH_REPLICAS, which makes every producer try again without looking
// for another leader.
func unverified(code, version int16) error {
	switch code {
	case kerr.ConcurrentTransactions.Code:
		if version >= firstAddingVersion {
			return kerr.ConcurrentTransactions
		}
		return unableToVerify(code)
	case kerr.NetworkException.Code, kerr.CoordinatorLoadInProgress.Code, kerr.CoordinatorNotAvailable.Code, kerr.NotCoordinator.Code:
		return unableToVerify(code)
	case kerr.TransactionAbortable.Code:
		if version >= firstAbortableVersion {
			return kerr.TransactionAbortable
		}
		code = kerr.InvalidTxnState.Code
	}
	refusal := kerr.TypedErrorForCode(code)
	if refusal == kerr.InvalidTxnState {
		return &record.InvalidBatchError{Err: refusal, Message: "Partition was not added to the transaction"}
	}
	return refusal
}

func unableToVerify(code int16) error {
	return &record.InvalidBatchError{Err: kerr.NotEnoughReplicas,
		Message: fmt.Sprintf("Unable to verify the partition has been added to the transaction. Underlying error: %s", kerr.TypedErrorForCode(code).Message)}
}
