package api

import (
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// What the APIs of transactions have in common.

// transactionCode is the error code of an answer. Clients that do not know PRODUCER_FENCED understand INVALID_PRODUCER_EPOCH.
func transactionCode(err *kerr.Error, knowsFenced bool) int16 {
	switch {
	case err == nil:
		return 0
	case err == kerr.ProducerFenced && !knowsFenced:
		return kerr.InvalidProducerEpoch.Code
	}
	return err.Code
}

func (s *Services) allowedOnTransaction(c *Call, op security.Operation, id string) bool {
	return s.Allowed(c, op, security.ResourceTransactionalID, id)
}

// ofTenant splits a name in a request between brokers. Brokers are of the default tenant and qualify what is another's; who is
// of another tenant has no way to name what is not its own.
func ofTenant(c *Call, qualified string) (tenant, name string) {
	if c.Identity.Tenant != security.DefaultTenant {
		return c.Identity.Tenant, qualified
	}
	return coordinator.SplitName(qualified)
}

// The versions of transactions that requests of clients stand for.
const (
	transactionVersion0 = 0 // the epoch stays
	transactionVersion2 = 2 // the epoch rises with each end (KIP-890)
)

// offsetsPartition is the partition of __consumer_offsets that a group's offsets go to; false while it does not exist.
func (s *Services) offsetsPartition(c *Call, groupID string) (txn.Partition, bool) {
	if s.internalTopic(c.Context, groupMetadataTopic) == nil {
		return txn.Partition{}, false
	}
	return txn.Partition{Topic: groupMetadataTopic, Number: s.Groups.PartitionFor(c.Identity.Tenant, groupID)}, true
}
