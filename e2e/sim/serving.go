package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/log/producer"
	wire "github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/txn"
	"github.com/millrace-io/millrace/broker/verify"
)

// What a broker does with the requests of producers and of coordinators, as package api does: the shell around the log, the
// verifier and the coordinators, which are real.

// value is a record that a producer writes.
type value struct {
	id     int32 // of the transactional id
	serial int32 // of the transaction among those of the id
	count  int32 // of the record among those of the transaction on its partition
}

func (v value) encode() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(v.id))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(v.serial)), uint32(v.count))
}

func decodeValue(b []byte) value {
	return value{int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:])), int32(binary.BigEndian.Uint32(b[8:]))}
}

// produced is a batch with one record of a transaction.
type produced struct {
	transactionalID string
	producer        txn.Producer
	sequence        int32
	target          target
	value           value
	adds            bool // version 2: the write adds the partition
}

// produce answers nil once the batch is committed, or an error.
func (s *services) produce(p *produced, answer func(any)) {
	l := s.n.roles[p.target.place].leading
	if place, exists := s.n.w.txns.layout.placeIn(s.n.image(), p.target.topic, p.target.number); !exists || place != p.target.place {
		answer(kerr.UnknownTopicOrPartition) // or UNKNOWN_TOPIC_ID
		return
	}
	if !s.n.serves() || l == nil {
		answer(errNotLeader)
		return
	}
	if !l.core.EnoughInSync() {
		answer(errNotEnough)
		return
	}
	guard, err := l.log.real.BeginVerification(p.producer.ID, p.producer.Epoch, p.sequence, p.adds)
	switch {
	case err != nil:
		answer(err)
	case guard == producer.NoGuard:
		s.appendProduced(p, guard, answer)
	case s.n.w.is(SkipsVerification) && !p.adds:
		s.appendProduced(p, producer.Unverified, answer)
	default:
		s.verify(p.transactionalID, p.producer, p.adds, verify.TopicPartition{Topic: p.target.topic, Partition: p.target.number}, func(err error) {
			if err != nil {
				answer(err)
				return
			}
			s.appendProduced(p, guard, answer)
		})
	}
}

// verify asks the coordinator of a transaction about a partition, as the real verifier does.
func (s *services) verify(id string, by txn.Producer, adds bool, p verify.TopicPartition, done func(error)) {
	q := &verify.Question{TransactionalID: id, ProducerID: by.ID, ProducerEpoch: by.Epoch, Add: adds, Partitions: []verify.TopicPartition{p}}
	name := fmt.Sprintf("verified %s %d %v %d", id, by.Epoch, p, s.asked.Add(1))
	s.serve(name, func(ctx context.Context) any {
		return s.verifier.Ask(context.WithValue(ctx, questionName{}, name), q)[0]
	}, func(code any) { done(kerr.ErrorForCode(code.(int16))) })
}

func (s *services) appendProduced(p *produced, guard producer.Guard, answer func(any)) {
	l := s.n.roles[p.target.place].leading
	if l == nil {
		answer(errNotLeader)
		return
	}
	b := wire.NewBuilder(wire.BuilderOptions{
		HasProducer: true, ProducerID: p.producer.ID, ProducerEpoch: p.producer.Epoch, BaseSequence: p.sequence, Transactional: true,
	})
	b.Append(s.wall().UnixMilli(), nil, p.value.encode(), nil)
	batch, err := b.Build()
	if err != nil {
		s.n.w.violate("a batch cannot be built: %v", err)
		return
	}
	e := log.Entry{Batch: batch, Guard: guard}
	if err := l.write(&e, log.OriginClient); err != nil {
		answer(err)
		return
	}
	l.await(e.LastOffset+1, func(err error) { answer(err) })
}

// writeMarkers is WriteTxnMarkers.
func (s *services) writeMarkers(r *kmsg.WriteTxnMarkersRequest, answer func(any)) {
	m := &marking{s: s, request: r, answer: answer}
	for i := range r.Markers {
		for _, t := range r.Markers[i].Topics {
			for _, number := range t.Partitions {
				m.codes = append(m.codes, kerr.RequestTimedOut.Code)
				m.write(len(m.codes)-1, &r.Markers[i], t.Topic, number)
			}
		}
	}
	m.begun = true
	if m.settled(); !m.answered {
		s.n.w.on(s.n, markerPatience, m.give)
	}
}

// markerPatience is that of package api for markers that are not committed, made shorter.
const markerPatience = 2 * time.Second

// marking is a WriteTxnMarkers under way.
type marking struct {
	s        *services
	request  *kmsg.WriteTxnMarkersRequest
	answer   func(any)
	codes    []int16 // of partitions in the order of the request
	done     int
	begun    bool
	answered bool
}

func (m *marking) write(at int, marker *kmsg.WriteTxnMarkersRequestMarker, topic string, number int32) {
	end := func(err error) {
		m.codes[at] = codeOfError(err)
		m.done++
		m.settled()
	}
	s := m.s
	if topic == offsetsTopic {
		of := coordinator.Marker{
			Producer: coordinator.Producer{ID: marker.ProducerID, Epoch: marker.ProducerEpoch}, Committed: marker.Committed,
			CoordinatorEpoch: marker.CoordinatorEpoch, TransactionVersion: marker.TransactionVersion,
		}
		s.serve(fmt.Sprintf("marked %v %d", of, s.asked.Add(1)), func(ctx context.Context) any { return s.groups.EndTransaction(ctx, number, of) }, func(a any) {
			err, _ := a.(error)
			end(groupRefusal(err))
		})
		return
	}
	place, exists := s.n.w.txns.layout.placeIn(s.n.image(), topic, number)
	if !exists {
		end(kerr.UnknownTopicOrPartition)
		return
	}
	l := s.n.roles[place].leading
	switch {
	case s.n.w.is(ForgetsAMarkerAfterMoving) && marker.CoordinatorEpoch > 0 && place == 2:
		end(nil)
		return
	case l == nil:
		end(errNotLeader)
		return
	}
	kind := wire.AbortMarker
	if marker.Committed {
		kind = wire.CommitMarker
	}
	e := log.Entry{
		Batch:              wire.EndTxnBatch(marker.ProducerID, marker.ProducerEpoch, s.wall().UnixMilli(), wire.EndTxnMarker{Type: kind, CoordinatorEpoch: marker.CoordinatorEpoch}),
		TransactionVersion: marker.TransactionVersion,
	}
	if s.n.w.is(TakesLateMarkers) {
		e.TransactionVersion = 0
	}
	if err := l.write(&e, log.OriginCoordinator); err != nil {
		end(err)
		return
	}
	l.await(e.LastOffset+1, end)
}

// groupRefusal is what a transaction coordinator understands of the group coordinator's errors.
func groupRefusal(err error) error {
	switch err {
	case kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress:
		return errNotLeader
	}
	return err
}

func (m *marking) settled() {
	if m.begun && m.done == len(m.codes) {
		m.give()
	}
}

func (m *marking) give() {
	if m.answered {
		return
	}
	m.answered = true
	answer := m.request.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	codes := m.codes
	for i := range m.request.Markers {
		marker := kmsg.NewWriteTxnMarkersResponseMarker()
		marker.ProducerID = m.request.Markers[i].ProducerID
		for _, t := range m.request.Markers[i].Topics {
			topic := kmsg.WriteTxnMarkersResponseMarkerTopic{Topic: t.Topic}
			for _, number := range t.Partitions {
				topic.Partitions = append(topic.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: number, ErrorCode: codes[0]})
				codes = codes[1:]
			}
			marker.Topics = append(marker.Topics, topic)
		}
		answer.Markers = append(answer.Markers, marker)
	}
	m.answer(answer)
}

// codeOfError is an error as the wire has it.
func codeOfError(err error) int16 {
	var known *kerr.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &known):
		return known.Code
	}
	return kerr.UnknownServerError.Code
}

// WriteTxnMarkers implements txn.Brokers: the markers travel over the network. A marker of version 1 that comes late, or a second time,
// ends the producer's next transaction, in Kafka as here, since both have one epoch: to end that is what version 2 is for (KIP-890).
// The simulated network does not do it to them.
func (s *services) WriteTxnMarkers(ctx context.Context, nodeID int32, r *kmsg.WriteTxnMarkersRequest) (*kmsg.WriteTxnMarkersResponse, error) {
	name, fragile := "", false
	for i := range r.Markers {
		m := &r.Markers[i]
		fragile = fragile || m.TransactionVersion < 2
		name += fmt.Sprintf(" %d/%d/%v/%v", m.ProducerID, m.ProducerEpoch, m.Committed, m.Topics)
	}
	a, err := s.ask(ctx, "for markers"+name, nodeID, fragile, func(to *services, answer func(any)) {
		to.n.w.note("node %d is asked for markers%s", to.n.id, name)
		to.writeMarkers(r, answer)
	})
	if err != nil {
		return nil, err
	}
	return a.(*kmsg.WriteTxnMarkersResponse), nil
}

// commitOffsets is TxnOffsetCommit.
func (s *services) commitOffsets(id string, by txn.Producer, adds bool, offset int64, answer func(any)) {
	layout := s.n.w.txns.layout
	number := s.groups.PartitionFor("default", groupOf(id))
	l := s.n.roles[layout.offsets.first+int(number)].leading
	if !s.n.serves() || l == nil {
		answer(kerr.NotCoordinator)
		return
	}
	guard, err := l.log.real.BeginVerification(by.ID, by.Epoch, -1, adds)
	if err != nil {
		answer(err)
		return
	}
	commit := func() {
		r := kmsg.NewPtrTxnOffsetCommitRequest()
		r.Version, r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch, r.Generation = 5, id, groupOf(id), by.ID, by.Epoch, -1
		r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topicName, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{Partition: 0, Offset: offset, LeaderEpoch: -1}}}}
		s.serve(fmt.Sprintf("committed %s %d %d %d", id, by.Epoch, offset, s.asked.Add(1)), func(ctx context.Context) any {
			return s.groups.TxnOffsetCommit(ctx, group.Caller{Tenant: "default"}, r, uint64(guard))
		}, func(a any) {
			answer(kerr.ErrorForCode(a.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode))
		})
	}
	if guard == producer.NoGuard {
		commit()
		return
	}
	s.verify(id, by, adds, verify.TopicPartition{Topic: offsetsTopic, Partition: number}, func(err error) {
		if err != nil {
			answer(err)
			return
		}
		commit()
	})
}

func groupOf(id string) string { return "of-" + id }
