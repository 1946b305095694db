package verify

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// requestVersion is what this node asks itself in; between nodes it is the highest that both speak.
const requestVersion = 5

// all is one code for each partition.
func (q *Question) all(err *kerr.Error) []int16 {
	codes := make([]int16, len(q.Partitions))
	for i := range codes {
		codes[i] = err.Code
	}
	return codes
}

// send asks a node about transactions and answers everybody.
func (v *Verifier) send(ctx context.Context, nodeID int32, batch []*waiter) {
	request := kmsg.NewPtrAddPartitionsToTxnRequest()
	request.Version = requestVersion
	for _, w := range batch {
		request.Transactions = append(request.Transactions, w.question.encode())
	}
	response, err := v.cfg.Send(ctx, nodeID, request)
	if err != nil {
		v.cfg.Logger.Warn("a transaction coordinator did not say which partitions are in a transaction", "node", nodeID,
			"transactions", len(batch), "error", err)
	}
	for _, w := range batch {
		w.answer <- codesOf(w.question, response, err)
	}
}

func (q *Question) encode() kmsg.AddPartitionsToTxnRequestTransaction {
	t := kmsg.NewAddPartitionsToTxnRequestTransaction()
	t.TransactionalID, t.ProducerID, t.ProducerEpoch, t.VerifyOnly = q.TransactionalID, q.ProducerID, q.ProducerEpoch, !q.Add
	places := map[string]int{}
	for _, p := range q.Partitions {
		i, ok := places[p.Topic]
		if !ok {
			i = len(t.Topics)
			places[p.Topic] = i
			topic := kmsg.NewAddPartitionsToTxnRequestTransactionTopic()
			topic.Topic = p.Topic
			t.Topics = append(t.Topics, topic)
		}
		t.Topics[i].Partitions = append(t.Topics[i].Partitions, p.Partition)
	}
	return t
}

// codesOf finds the answer to one question. Of a partition that the coordinator did not answer nothing is known.
func codesOf(q *Question, r *kmsg.AddPartitionsToTxnResponse, err error) []int16 {
	switch {
	case err != nil:
		return q.all(kerr.NetworkException)
	case r.ErrorCode == kerr.ClusterAuthorizationFailed.Code: // of this broker, which is no business of the producer
		return q.all(kerr.InvalidTxnState)
	case r.ErrorCode != 0:
		return q.all(known(r.ErrorCode))
	}
	answered := map[TopicPartition]int16{}
	for i := range r.Transactions {
		if r.Transactions[i].TransactionalID != q.TransactionalID {
			continue
		}
		for _, t := range r.Transactions[i].Topics {
			for _, p := range t.Partitions {
				answered[TopicPartition{t.Topic, p.Partition}] = p.ErrorCode
			}
		}
	}
	codes := q.all(kerr.NetworkException)
	for i, p := range q.Partitions {
		if code, ok := answered[p]; ok {
			codes[i] = produced(code)
		}
	}
	return codes
}

func known(code int16) *kerr.Error {
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err
	}
	return kerr.UnknownServerError
}

// produced is the code as producers expect it of a write.
func produced(code int16) int16 {
	if code == kerr.ProducerFenced.Code {
		return kerr.InvalidProducerEpoch.Code
	}
	return code
}
