package api

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/security"
)

// WriteTxnMarkers, key 27, versions 1 and 2. Kafka: KafkaApis.handleWriteTxnMarkersRequest.
//
// The transaction coordinator ends a transaction on the partitions that this broker leads; an operator aborts one that
// hangs (KIP-664). A partition's markers go into its log in one append, where Kafka appends one at a time. Those of
// __consumer_offsets go through the group coordinator, which sees the end before the answer leaves.
//
// Deviations: the answer has a marker's partitions in the order of the request; what is not committed after five seconds
// is REQUEST_TIMED_OUT, so that one partition without its replicas does not hold up the others for Kafka's thirty: the
// coordinator sends the marker again, and a second one ends nothing.

const (
	// markerPatience bounds the wait for the commit of markers.
	markerPatience = 5 * time.Second
	// maxGroupMarkers bounds how many markers of one request wait for the group coordinator at a time.
	maxGroupMarkers = 64
)

// markers are those of one request, by partition.
type markers struct {
	services *Services
	parts    []markedPartition
	byPart   map[*replica.Partition]int // of parts
	outcomes []error                    // of each marker's partitions, in the order of the request
	groups   []groupMarker
}

// markedPartition is what is appended to one partition.
type markedPartition struct {
	partition *replica.Partition
	entries   []log.Entry
	places    []int // of entries in outcomes
	epoch     int32 // in which they were appended
}

// groupMarker is a marker for a partition of __consumer_offsets.
type groupMarker struct {
	partition int32
	marker    coordinator.Marker
	place     int
}

func writeTxnMarkers(s *Services, c *Call, r *kmsg.WriteTxnMarkersRequest) kmsg.Response {
	m := markers{services: s, byPart: map[*replica.Partition]int{}}
	allowed := s.allowedOnCluster(c, security.OperationAlter) || s.allowedOnCluster(c, security.OperationClusterAction)
	for i := range r.Markers {
		for _, t := range r.Markers[i].Topics {
			for _, partition := range t.Partitions {
				m.stage(c, &r.Markers[i], t.Topic, partition, allowed)
			}
		}
	}
	m.write(c.Context)
	return m.answer(r)
}

// stage notes where a marker is to be written, or why it is not.
func (m *markers) stage(c *Call, marker *kmsg.WriteTxnMarkersRequestMarker, topic string, number int32, allowed bool) {
	place := len(m.outcomes)
	m.outcomes = append(m.outcomes, nil)
	if !allowed {
		m.outcomes[place] = kerr.ClusterAuthorizationFailed
		return
	}
	if marker.ProducerID < 0 || marker.ProducerEpoch < 0 {
		m.outcomes[place] = kerr.InvalidRequest
		return
	}
	tenant, name := ofTenant(c, topic)
	if name == groupMetadataTopic {
		tenant = security.DefaultTenant // the one that holds every tenant's groups
	}
	p, fault := m.services.Replicas.ByName(tenant, name, number)
	switch {
	case fault != nil:
		m.outcomes[place] = fault
	case m.services.isOffsets(p.Topic):
		m.groups = append(m.groups, groupMarker{partition: number, marker: coordinatorMarker(marker), place: place})
	default:
		part := m.of(p)
		if planted.Enabled {
			marker = plantedMarker(marker, number)
		}
		part.entries = append(part.entries, log.Entry{Batch: m.batch(marker), TransactionVersion: marker.TransactionVersion})
		part.places = append(part.places, place)
	}
}

// isOffsets says whether a topic is the group coordinator's.
func (s *Services) isOffsets(t *replica.Topic) bool {
	return t.Internal && t.Name == groupMetadataTopic && t.Tenant == security.DefaultTenant && s.Groups != nil
}

func coordinatorMarker(marker *kmsg.WriteTxnMarkersRequestMarker) coordinator.Marker {
	return coordinator.Marker{
		Producer:  coordinator.Producer{ID: marker.ProducerID, Epoch: marker.ProducerEpoch},
		Committed: marker.Committed, CoordinatorEpoch: marker.CoordinatorEpoch, TransactionVersion: marker.TransactionVersion,
	}
}

func (m *markers) batch(marker *kmsg.WriteTxnMarkersRequestMarker) record.Batch {
	kind := record.AbortMarker
	if marker.Committed {
		kind = record.CommitMarker
	}
	return record.EndTxnBatch(marker.ProducerID, marker.ProducerEpoch, m.services.Clock().UnixMilli(),
		record.EndTxnMarker{Type: kind, CoordinatorEpoch: marker.CoordinatorEpoch})
}

func (m *markers) of(p *replica.Partition) *markedPartition {
	i, ok := m.byPart[p]
	if !ok {
		i = len(m.parts)
		m.byPart[p] = i
		m.parts = append(m.parts, markedPartition{partition: p})
	}
	return &m.parts[i]
}

// write appends everything and waits for it.
func (m *markers) write(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, markerPatience)
	defer cancel()
	var groups sync.WaitGroup
	if len(m.groups) > 0 {
		groups.Go(func() { m.writeToGroups(ctx) })
	}
	for i := range m.parts {
		part := &m.parts[i]
		part.epoch, _ = part.partition.Append(part.entries, replica.AcksAll, log.OriginCoordinator, replica.AnyEpoch) // each entry has its error
	}
	m.await(ctx)
	groups.Wait()
}

func (m *markers) writeToGroups(ctx context.Context) {
	var work sync.WaitGroup
	tokens := make(chan struct{}, maxGroupMarkers)
	for _, g := range m.groups {
		tokens <- struct{}{}
		work.Go(func() {
			m.outcomes[g.place] = markerRefusal(m.services.Groups.EndTransaction(ctx, g.partition, g.marker))
			<-tokens
		})
	}
	work.Wait()
}

// markerRefusal is what a transaction coordinator understands of the group coordinator's errors: it is to look for the
// leader again.
func markerRefusal(err error) error {
	switch err {
	case kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress:
		return kerr.NotLeaderForPartition
	}
	return err
}

// await waits until what was appended is committed, and notes what became of it.
func (m *markers) await(ctx context.Context) {
	w := replica.NewWaiter()
	for i := range m.parts {
		if end := m.parts[i].end(); end > 0 {
			m.parts[i].partition.AwaitOffset(end, m.parts[i].epoch, w)
		}
	}
	w.Wait(ctx)
	if w.Outstanding() {
		for i := range m.parts {
			m.parts[i].partition.ForgetOffset(w)
		}
	}
	for i := range m.parts {
		part := &m.parts[i]
		for j := range part.entries {
			e := &part.entries[j]
			if e.Err == nil {
				e.Err = part.partition.Committed(e.LastOffset+1, part.epoch)
			}
			m.outcomes[part.places[j]] = e.Err
		}
	}
}

// end is the offset after the last marker that was appended; 0: none was.
func (p *markedPartition) end() (offset int64) {
	for i := range p.entries {
		if p.entries[i].Err == nil {
			offset = p.entries[i].LastOffset + 1
		}
	}
	return offset
}

func (m *markers) answer(r *kmsg.WriteTxnMarkersRequest) *kmsg.WriteTxnMarkersResponse {
	answer := r.ResponseKind().(*kmsg.WriteTxnMarkersResponse)
	left := m.outcomes
	for i := range r.Markers {
		marker := kmsg.NewWriteTxnMarkersResponseMarker()
		marker.ProducerID = r.Markers[i].ProducerID
		for _, asked := range r.Markers[i].Topics {
			topic := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			topic.Topic = asked.Topic
			for _, number := range asked.Partitions {
				p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				p.Partition = number
				p.ErrorCode, _ = protocolError(left[0])
				topic.Partitions = append(topic.Partitions, p)
				left = left[1:]
			}
			marker.Topics = append(marker.Topics, topic)
		}
		answer.Markers = append(answer.Markers, marker)
	}
	return answer
}
