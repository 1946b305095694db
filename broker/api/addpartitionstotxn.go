package api

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// AddPartitionsToTxn, key 24, versions 0 to 5. Kafka: KafkaApis.handleAddPartitionsToTxnRequest, TransactionCoordinator.
//
// Clients speak versions 0 to 3. From version 4 on brokers ask: for several transactions at once, to add partitions that are
// written to (KIP-890), or to hear which of them belong to the transaction.
//
// Deviation: while the transaction before is being completed, the answer waits for that (100 ms, for brokers 20 ms); Kafka
// answers CONCURRENT_TRANSACTIONS at once. Topics are answered in the order of the request.
func addPartitionsToTxn(s *Services, c *Call, r *kmsg.AddPartitionsToTxnRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.AddPartitionsToTxnResponse)
	if r.Version < 4 {
		answer.Topics = s.addOwnPartitions(c, r)
		return answer
	}
	if !s.allowedOnCluster(c, security.OperationClusterAction) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	answer.Transactions = make([]kmsg.AddPartitionsToTxnResponseTransaction, len(r.Transactions))
	var others sync.WaitGroup
	for i := range r.Transactions {
		add := func() { answer.Transactions[i] = s.addPartitionsFor(c, &r.Transactions[i]) }
		if i == len(r.Transactions)-1 {
			add()
		} else {
			others.Go(add)
		}
	}
	others.Wait()
	return answer
}

// addOwnPartitions adds what a client asks for: all of it or nothing.
func (s *Services) addOwnPartitions(c *Call, r *kmsg.AddPartitionsToTxnRequest) []kmsg.AddPartitionsToTxnResponseTopic {
	var asked addition
	for _, t := range r.Topics {
		asked.topic(s, c, c.Identity.Tenant, t.Topic, t.Partitions, true)
	}
	if !s.allowedOnTransaction(c, security.OperationWrite, r.TransactionalID) {
		asked.refuseAll(kerr.TransactionalIDAuthorizationFailed)
	} else if !asked.isRefused() {
		producer := txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
		err := s.TransactionCoordinator.AddPartitions(c.Context, c.Identity.Tenant, r.TransactionalID, producer, asked.partitions, transactionVersion0, false)
		if err == kerr.ProducerFenced && r.Version < 2 {
			err = kerr.InvalidProducerEpoch
		}
		asked.refuseAll(err)
	}
	var topics []kmsg.AddPartitionsToTxnResponseTopic
	for _, t := range r.Topics {
		topic := kmsg.AddPartitionsToTxnResponseTopic{Topic: t.Topic}
		for _, number := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.AddPartitionsToTxnResponseTopicPartition{Partition: number, ErrorCode: asked.next()})
		}
		topics = append(topics, topic)
	}
	return topics
}

// addPartitionsFor adds or verifies what another broker asks for one transaction.
func (s *Services) addPartitionsFor(c *Call, r *kmsg.AddPartitionsToTxnRequestTransaction) kmsg.AddPartitionsToTxnResponseTransaction {
	tenant, id := ofTenant(c, r.TransactionalID)
	var asked addition
	for _, t := range r.Topics {
		asked.topic(s, c, tenant, t.Topic, t.Partitions, false)
	}
	producer := txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch}
	switch {
	case asked.isRefused():
	case r.VerifyOnly:
		faults, err := s.TransactionCoordinator.VerifyPartitions(c.Context, tenant, id, producer, asked.partitions)
		if asked.refuseAll(err); err == nil {
			asked.faults = faults
		}
	default:
		asked.refuseAll(s.TransactionCoordinator.AddPartitions(c.Context, tenant, id, producer, asked.partitions, transactionVersion2, true))
	}
	answer := kmsg.AddPartitionsToTxnResponseTransaction{TransactionalID: r.TransactionalID}
	for _, t := range r.Topics {
		topic := kmsg.AddPartitionsToTxnResponseTransactionTopic{Topic: t.Topic}
		for _, number := range t.Partitions {
			topic.Partitions = append(topic.Partitions, kmsg.AddPartitionsToTxnResponseTransactionTopicPartition{Partition: number, ErrorCode: asked.next()})
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// addition is what is asked for one transaction, and why it is refused.
type addition struct {
	partitions []txn.Partition
	faults     []*kerr.Error // of partitions, nil or as many
	told       int
}

// topic adds partitions of a topic that exist and that the caller may write to. Internal topics need no permission, as in Kafka.
func (a *addition) topic(s *Services, c *Call, tenant, name string, numbers []int32, authorize bool) {
	if name == groupMetadataTopic {
		tenant = security.DefaultTenant
	}
	t := s.Metadata.Image().Topic(tenant, name)
	allowed := !authorize || t != nil && t.Internal || s.Allowed(c, security.OperationWrite, security.ResourceTopic, name)
	for _, number := range numbers {
		a.partitions = append(a.partitions, txn.Partition{Topic: name, Number: number})
		switch {
		case !allowed:
			a.refuse(kerr.TopicAuthorizationFailed)
		case t == nil || t.Partition(number) == nil:
			a.refuse(kerr.UnknownTopicOrPartition)
		}
	}
}

// refuse refuses the last partition, and with it the others: those that nothing is wrong with are not attempted.
func (a *addition) refuse(err *kerr.Error) {
	for len(a.faults) < len(a.partitions)-1 {
		a.faults = append(a.faults, nil)
	}
	a.faults = append(a.faults, err)
}

func (a *addition) refuseAll(err *kerr.Error) {
	a.faults = nil
	if err == nil {
		return
	}
	for range a.partitions {
		a.faults = append(a.faults, err)
	}
}

func (a *addition) isRefused() bool {
	if a.faults == nil {
		return false
	}
	for len(a.faults) < len(a.partitions) {
		a.faults = append(a.faults, nil)
	}
	for i := range a.faults {
		if a.faults[i] == nil {
			a.faults[i] = kerr.OperationNotAttempted
		}
	}
	return true
}

// next is the code of the next partition, in the order in which they were asked for.
func (a *addition) next() int16 {
	a.told++
	if a.faults == nil || a.faults[a.told-1] == nil {
		return 0
	}
	return a.faults[a.told-1].Code
}
