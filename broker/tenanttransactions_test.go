package broker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/broker/verify"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// TestTransactionsOfTenantsAreApart has two tenants use the same transactional id and the same topic: what a partition asks
// and what a coordinator sends reaches the one that it is about, in whichever partition of __transaction_state that is.
func TestTransactionsOfTenantsAreApart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := startAlone(t)
	admin := clientOf(t, b)
	for !admin.FindTxnCoordinators(ctx, "any").Ok() { // makes the topic
		if ctx.Err() != nil {
			t.Fatal(ctx.Err())
		}
	}
	for _, tenant := range []string{security.DefaultTenant, "blue"} {
		if err := b.metadata.CreateTopics(ctx, tenant, []controller.NewTopic{{Name: "orders", PartitionCount: 1, ReplicationFactor: 1}}, false)[0].Err; err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"mover", "copier", "reader"} {
		moveAsTenant(ctx, t, b, "blue", id)
		if d, err := b.transactions.Describe(ctx, security.DefaultTenant, id); err == nil {
			t.Errorf("the default tenant has %+v", d)
		}
	}
	blue, others := endOf(t, b, "blue"), endOf(t, b, security.DefaultTenant)
	if blue != 3 || others != 0 {
		t.Errorf("%d markers are in the tenant's topic and %d in the other one, want 3 and 0", blue, others)
	}
}

// moveAsTenant begins a transaction as a partition's leader has it begun, commits it, and waits for its completion.
func moveAsTenant(ctx context.Context, t *testing.T, b *Broker, tenant, id string) {
	t.Helper()
	p, refusal := b.transactions.InitProducerID(ctx, tenant, id, 60_000, txn.Producer{ID: -1, Epoch: -1})
	for refusal != nil && refusal.Retriable && ctx.Err() == nil { // its partition is being loaded
		p, refusal = b.transactions.InitProducerID(ctx, tenant, id, 60_000, txn.Producer{ID: -1, Epoch: -1})
	}
	if refusal != nil {
		t.Fatal(refusal)
	}
	codes := b.verifier.Ask(ctx, &verify.Question{
		TransactionalID: coordinator.QualifiedName(tenant, id), ProducerID: p.ID, ProducerEpoch: p.Epoch, Add: true,
		Partitions: []verify.TopicPartition{{Topic: "orders", Partition: 0}},
	})
	if !slices.Equal(codes, []int16{0}) {
		t.Fatalf("the partition was added with %v", codes)
	}
	if _, refusal := b.transactions.EndTxn(ctx, tenant, id, p, true, 2); refusal != nil {
		t.Fatal(refusal)
	}
	for {
		d, refusal := b.transactions.Describe(ctx, tenant, id)
		if refusal != nil {
			t.Fatal(refusal)
		}
		if d.Status == "CompleteCommit" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// endOf is where the only partition of a tenant's topic ends.
func endOf(t *testing.T, b *Broker, tenant string) int64 {
	t.Helper()
	p, refusal := b.replicas.ByName(tenant, "orders", 0)
	if refusal != nil {
		t.Fatal(refusal)
	}
	return p.LogEndOffset()
}
