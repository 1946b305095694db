package replica

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/replica/isr"
)

const (
	// proposalPatience bounds one request to the controller.
	proposalPatience = 5 * time.Second
	longestRetry     = 500 * time.Millisecond
	// maxProposals is how many partitions one request carries.
	maxProposals = 4096
)

// proposer carries proposals of in-sync sets to the controller: one request at a time, with everything that has come
// together meanwhile.
type proposer struct {
	manager *Manager
	wake    chan struct{} // capacity 1

	mu    sync.Mutex
	queue []*Partition // guarded by mu: each once
}

func newProposer(m *Manager) *proposer { return &proposer{manager: m, wake: make(chan struct{}, 1)} }

// want says that the partition may have something to propose.
func (r *proposer) want(p *Partition) {
	if r.manager.cfg.Controller == nil {
		return
	}
	p.mu.Lock()
	queued := p.proposing
	p.proposing = true
	p.mu.Unlock()
	if queued {
		return
	}
	r.mu.Lock()
	r.queue = append(r.queue, p)
	r.mu.Unlock()
	signal(r.wake)
}

// proposal is one partition of a request.
type proposal struct {
	partition *Partition
	asked     isr.Proposal
}

// run is the proposer's goroutine.
func (r *proposer) run(ctx context.Context) {
	backoff := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		}
		for batch := r.take(); len(batch) > 0; batch = r.take() {
			retry, err := r.send(ctx, batch)
			if len(retry) == 0 {
				backoff = 0
				continue
			}
			last := backoff
			backoff = nextBackoff(last, longestRetry)
			if err != nil && ctx.Err() == nil && last < longestRetry && backoff == longestRetry { // another controller was elected before that
				r.manager.cfg.Logger.Warn("controller does not answer a change of in-sync replicas", "partitions", len(batch), "error", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(backoff):
			}
			for _, p := range retry {
				r.want(p)
			}
		}
	}
}

// take makes proposals of what is in the queue; one whose outcome is not known is proposed again.
func (r *proposer) take() []proposal {
	r.mu.Lock()
	n := min(len(r.queue), maxProposals)
	queue := slices.Clone(r.queue[:n])
	r.queue = slices.Delete(r.queue, 0, n)
	r.mu.Unlock()
	batch := make([]proposal, 0, len(queue))
	epoch, now, brokers := r.manager.cfg.BrokerEpoch(), r.manager.cfg.Clock(), r.manager.brokers()
	for _, p := range queue {
		p.mu.Lock()
		p.proposing = false
		if p.leader != nil {
			asked, ok := p.leader.Pending()
			if !ok {
				asked, ok = p.leader.Propose(epoch, p.LogEndOffset(), now, brokers)
			}
			if ok {
				batch = append(batch, proposal{p, asked})
			}
		}
		p.mu.Unlock()
	}
	slices.SortFunc(batch, func(a, b proposal) int {
		return compareKeys(partitionKey{a.partition.Topic.ID, a.partition.Number}, partitionKey{b.partition.Topic.ID, b.partition.Number})
	})
	return batch
}

// send asks the controller and returns the partitions whose outcome is not known.
func (r *proposer) send(ctx context.Context, batch []proposal) (retry []*Partition, err error) {
	ctx, cancel := context.WithTimeout(ctx, proposalPatience)
	defer cancel()
	answer, err := r.manager.cfg.Controller.AlterPartition(ctx, r.request(batch))
	if err == nil {
		err = errorOf(answer.ErrorCode)
	}
	outcomes := map[partitionKey]*kmsg.AlterPartitionResponseTopicPartition{}
	if err == nil {
		for i := range answer.Topics {
			for j := range answer.Topics[i].Partitions {
				o := &answer.Topics[i].Partitions[j]
				outcomes[partitionKey{answer.Topics[i].TopidID, o.Partition}] = o
			}
		}
	}
	changed := 0
	for _, b := range batch {
		o := outcomes[partitionKey{b.partition.Topic.ID, b.partition.Number}]
		if b.partition.answered(b.asked, o) {
			retry = append(retry, b.partition)
		}
		if o != nil && o.ErrorCode == 0 {
			changed++
		}
	}
	if changed > 0 { // one line for all of them: a broker that goes takes as many out as it followed
		r.manager.cfg.Logger.Info("in-sync replicas changed", "partitions", changed)
	}
	return retry, err
}

// errorOf makes an error of a code; nil for none.
func errorOf(code int16) error {
	if code == 0 {
		return nil
	}
	return kerr.ErrorForCode(code)
}

func (r *proposer) request(batch []proposal) *kmsg.AlterPartitionRequest {
	req := kmsg.NewPtrAlterPartitionRequest()
	req.Version = req.MaxVersion()
	req.BrokerID, req.BrokerEpoch = r.manager.cfg.NodeID, r.manager.cfg.BrokerEpoch()
	for _, b := range batch {
		if n := len(req.Topics); n == 0 || req.Topics[n-1].TopicID != b.partition.Topic.ID {
			topic := kmsg.NewAlterPartitionRequestTopic()
			topic.TopicID = b.partition.Topic.ID
			req.Topics = append(req.Topics, topic)
		}
		asked := kmsg.NewAlterPartitionRequestTopicPartition()
		asked.Partition, asked.LeaderEpoch, asked.PartitionEpoch = b.partition.Number, b.asked.LeaderEpoch, b.asked.PartitionEpoch
		for _, m := range b.asked.ISR {
			member := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
			member.BrokerID, member.BrokerEpoch = m.ID, m.BrokerEpoch
			asked.NewEpochISR = append(asked.NewEpochISR, member)
		}
		topic := &req.Topics[len(req.Topics)-1]
		topic.Partitions = append(topic.Partitions, asked)
	}
	return req
}

// answered takes in what the controller said of a proposal; without an outcome nothing is known of it.
func (p *Partition) answered(asked isr.Proposal, o *kmsg.AlterPartitionResponseTopicPartition) (retry bool) {
	var state isr.State
	err := error(kerr.RequestTimedOut)
	if o != nil {
		err = errorOf(o.ErrorCode)
		state = isr.State{LeaderEpoch: o.LeaderEpoch, PartitionEpoch: o.PartitionEpoch, ISR: o.ISR, Recovering: o.LeaderRecoveryState != 0}
	}
	p.mu.Lock()
	if p.leader == nil {
		p.mu.Unlock()
		return false
	}
	_, retry = p.leader.Answered(asked, state, err, p.manager.cfg.Clock())
	moved := p.publish()
	p.mu.Unlock()
	if err == nil {
		p.manager.metrics.isrChanges.Inc()
		p.manager.cfg.Logger.Debug("in-sync replicas changed", "topic", p.Topic.Name, "partition", p.Number, "isr", fmt.Sprint(o.ISR), "partition_epoch", o.PartitionEpoch)
	}
	if moved {
		p.spread(p.log.Load(), false)
	}
	return retry
}

// considerProposal looks whether time or the image have made somebody lag, or fit to join.
func (p *Partition) considerProposal() {
	now, brokers := p.manager.cfg.Clock(), p.manager.brokers()
	p.mu.Lock()
	if p.leader == nil {
		p.mu.Unlock()
		return
	}
	_, propose := p.leader.Tick(p.LogEndOffset(), now, brokers)
	moved := p.publish()
	p.mu.Unlock()
	if moved {
		p.spread(p.log.Load(), false)
	}
	if propose {
		p.manager.proposer.want(p)
	}
}

// watchLag looks at every partition that is led here from time to time.
func (m *Manager) watchLag() {
	ticker := time.NewTicker(max(m.cfg.MaxLag/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-m.ended:
			return
		case <-ticker.C:
			for _, p := range m.Partitions() {
				if s := p.leadership.Load(); s != nil && s.Leader == m.cfg.NodeID && len(s.Replicas) > 1 {
					p.considerProposal()
				}
			}
		}
	}
}
