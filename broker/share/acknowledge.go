package share

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/share/delivery"
)

// Acknowledged is an acknowledgement whose answer may still be on its way.
type Acknowledged struct {
	TopicPartition
	fault   *kerr.Error
	answer  chan *kerr.Error
	refused bool // before anybody looked whether the records are the member's
}

// Message is what a member is told of a fault.
func (a *Acknowledged) Message(fault *kerr.Error) *string {
	switch {
	case fault == nil, fault == kerr.InvalidRequest && a.refused:
		return nil
	case fault == kerr.InvalidRequest:
		message := "Batch record not found. The last offset in request is past acquired records."
		return &message
	}
	return &fault.Description
}

// Acknowledge notes what a member says of a partition. Await tells how it ended: what is said of several partitions is
// written at the same time.
func (m *Manager) Acknowledge(s *Session, tp TopicPartition, said []delivery.Acknowledgement) *Acknowledged {
	a := &Acknowledged{TopicPartition: tp}
	p := m.find(s.keyOf(tp))
	if p == nil {
		a.fault = kerr.InvalidRecordState // nobody holds anything here
		return a
	}
	a.answer, a.fault = p.acknowledge(s.member, said)
	return a
}

// Refused is an acknowledgement that comes to nothing.
func Refused(tp TopicPartition, fault *kerr.Error) *Acknowledged {
	return &Acknowledged{TopicPartition: tp, fault: fault, refused: true}
}

// Await returns nil once the acknowledgement is safe, or why it does not count. When ctx ends first its outcome is open.
func (a *Acknowledged) Await(ctx context.Context) *kerr.Error {
	if a.answer == nil {
		return a.fault
	}
	select {
	case fault := <-a.answer:
		a.answer, a.fault = nil, fault
		return fault
	case <-ctx.Done():
		return kerr.RequestTimedOut
	}
}

// Settings returns the settings of a group.
func (m *Manager) Settings(tenant, group string) Settings { return m.cfg.Settings(tenant, group) }
