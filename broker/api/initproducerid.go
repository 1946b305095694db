package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/security"
)

// InitProducerId, key 22, versions 0 to 5 (version 6, KIP-939, is unstable in Kafka and has no codec here). Kafka:
// KafkaApis.handleInitProducerIdRequest, TransactionCoordinator.
//
// Without a transactional id every call gets a fresh producer id with epoch 0, whatever producer id it brings (KIP-360 asks
// for a bump only of transactional producers). While no block of ids can be had: COORDINATOR_LOAD_IN_PROGRESS, as Kafka.
//
// Deviation: while the transaction before is being completed, the answer waits up to 100 ms for that; Kafka answers
// CONCURRENT_TRANSACTIONS at once.
func initProducerID(s *Services, c *Call, r *kmsg.InitProducerIDRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.InitProducerIDResponse)
	answer.ProducerID, answer.ProducerEpoch = -1, -1
	if fault := initProducerIDFault(s, c, r); fault != nil {
		answer.ErrorCode = fault.Code
		return answer
	}
	if r.TransactionalID != nil {
		given, err := s.TransactionCoordinator.InitProducerID(c.Context, c.Identity.Tenant, *r.TransactionalID, r.TransactionTimeoutMillis, txn.Producer{ID: r.ProducerID, Epoch: r.ProducerEpoch})
		answer.ProducerID, answer.ProducerEpoch = given.ID, given.Epoch
		answer.ErrorCode = transactionCode(err, r.Version >= 4)
		return answer
	}
	id, err := s.NextProducerID(c.Context)
	if err != nil {
		s.Logger.Warn("no producer id could be had", "error", err)
		answer.ErrorCode = kerr.CoordinatorLoadInProgress.Code
		return answer
	}
	answer.ProducerID, answer.ProducerEpoch = id, 0
	return answer
}

// NextProducerID returns a producer id that nobody has.
func (s *Services) NextProducerID(ctx context.Context) (int64, error) {
	return s.producers.next(ctx, s.allocateProducerIDs)
}

func initProducerIDFault(s *Services, c *Call, r *kmsg.InitProducerIDRequest) *kerr.Error {
	id := r.TransactionalID
	switch {
	case id != nil && !s.Allowed(c, security.OperationWrite, security.ResourceTransactionalID, *id):
		return kerr.TransactionalIDAuthorizationFailed
	case id == nil && !s.allowedOnCluster(c, security.OperationIdempotentWrite) &&
		!s.Allowed(c, security.OperationWrite, security.ResourceTopic, ""):
		return kerr.ClusterAuthorizationFailed
	case (r.ProducerID == -1) != (r.ProducerEpoch == -1):
		return kerr.InvalidRequest
	}
	return nil
}

// KeepProducerIDs has a block of producer ids at hand until ctx ends, so that producers can begin while there is no controller
// (Kafka's RPCProducerIdManager, too, asks for the next block before one is used up).
func (s *Services) KeepProducerIDs(ctx context.Context) {
	for ctx.Err() == nil {
		short, low := s.producers.short()
		var again <-chan time.Time
		if short {
			first, count, err := s.allocateProducerIDs(ctx)
			if err == nil && count > 0 {
				s.producers.stock(first, count)
				continue
			}
			if ctx.Err() == nil {
				s.Logger.Info("no producer ids could be put by; they are asked for again", "error", err)
			}
			again = time.After(reserveRetry)
		}
		select {
		case <-low:
		case <-again:
		case <-ctx.Done():
		}
	}
}

const (
	producerIDsLow = 100 // ids that are left when the next block is asked for
	reserveRetry   = time.Second
)

// producerIDs hands out the ids of a block, and fetches the next block when it is used up. Its zero value is ready.
type producerIDs struct {
	mu          sync.Mutex
	free        int64         // guarded by mu: the next id
	end         int64         // guarded by mu: one past the last id of the block
	reserve     int64         // guarded by mu: the first id of the block that comes next
	reserveSize int64         // guarded by mu: 0: there is none
	fetching    chan struct{} // guarded by mu: closed when the block under way is there; nil: none is
	low         chan struct{} // guarded by mu: closed when few are left; nil: nobody waits for that
}

// short reports whether few ids are left, and returns a channel that is closed when that becomes so.
func (p *producerIDs) short() (short bool, low <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.low == nil {
		p.low = make(chan struct{})
	}
	return p.fewLeft(), p.low
}

// fewLeft is asked with mu held.
func (p *producerIDs) fewLeft() bool { return p.reserveSize == 0 && p.end-p.free <= producerIDsLow }

// stock puts a block by.
func (p *producerIDs) stock(first int64, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserve, p.reserveSize = first, int64(count)
}

// next returns an id that nobody else has. allocate is called by one at a time, with no lock held.
func (p *producerIDs) next(ctx context.Context, allocate func(context.Context) (int64, int, error)) (int64, error) {
	for {
		id, wait, ok := p.take()
		switch {
		case ok:
			return id, nil
		case wait == nil:
			if err := p.fetch(ctx, allocate); err != nil {
				return 0, err
			}
		default:
			select {
			case <-wait:
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
	}
}

// take returns an id; or the channel to wait on; or neither, and then the caller must fetch.
func (p *producerIDs) take() (id int64, wait <-chan struct{}, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == p.end {
		p.free, p.end, p.reserveSize = p.reserve, p.reserve+p.reserveSize, 0
	}
	if p.free < p.end {
		p.free++
		if p.low != nil && p.fewLeft() {
			close(p.low)
			p.low = nil
		}
		return p.free - 1, nil, true
	}
	if p.fetching != nil {
		return 0, p.fetching, false
	}
	p.fetching = make(chan struct{})
	return 0, nil, false
}

func (p *producerIDs) fetch(ctx context.Context, allocate func(context.Context) (int64, int, error)) error {
	first, count, err := allocate(ctx)
	if err == nil && count < 1 {
		err = errors.New("allocate producer ids: the block is empty")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.fetching)
	p.fetching = nil
	if err == nil {
		p.free, p.end = first, first+int64(count)
	}
	return err
}
