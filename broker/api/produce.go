package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/security"
)

// Produce (key 0), versions 3 to 13; ApiVersions shows 0 to 13, as Kafka does (KAFKA-18659).
// Kafka: KafkaApis.handleProduceRequest, ReplicaManager.appendRecords, ProduceRequest.validateRecords.
//
// Deviations:
//   - records are not decompressed to be checked unless a topic setting needs it;
//   - the error message of a refused batch is always sent, Kafka leaves it out for some errors.

// adminClientID may write to internal topics.
const adminClientID = "__admin_client"

// produceStage holds the Produce requests of a burst until they are settled together. Its storage is reused.
type produceStage struct {
	walked   produceRequest
	requests []stagedRequest
	topics   []stagedTopic
	results  []stagedResult
	groups   []produceGroup
	verified []stagedVerification // batches of transactions
	asked    []stagedQuestion
	byPart   map[*replica.Partition]int // of groups; used when there are many
	rules    record.Rules
	began    time.Time
	budgeted int64 // what the staged requests took of the memory budget
}

type stagedRequest struct {
	correlationID int32
	version       int16
	acks          int16
	timeoutMillis int32
	topics        int // how many of the next topics are this request's
	err           *kerr.Error
	// transactionalID aliases the frame; nil: none.
	transactionalID []byte
}

type stagedTopic struct {
	produceTopic
	topic *replica.Topic
}

// stagedResult is what became of one partition's records.
type stagedResult struct {
	index        int32
	code         int16              // set where nothing was appended
	partition    *replica.Partition // nil where the request was refused before its partition was looked at
	group, entry int32              // where the entry is; group -1: none
	unverified   bool               // its transaction was not let in: the log was not asked to take it
	message      string
	recordErrors []record.RecordError
}

// produceGroup is what a burst appends to one partition.
type produceGroup struct {
	partition *replica.Partition
	entries   []log.Entry
	epoch     int32 // leader epoch in which they were appended
	awaited   int64 // offset that acks=all waits for; 0: none
	// question of asked, if not negative, is awaited before the group is appended; the partition is at place in it.
	question, place int32
}

// producedElementBytes is what a topic or partition of a Produce takes in memory until it is answered.
const producedElementBytes = 384

// manyGroups is where a map finds a partition's group faster than a search.
const manyGroups = 24

// stageProduce checks a request and stages what is to be appended. The frame stays where it is until Settle.
func (s *session) stageProduce(req *server.Request) error {
	stage := &s.produce
	if len(stage.requests) == 0 {
		stage.began = s.services.Clock()
	}
	r := &stage.walked
	if !r.walk(req.Body, req.Version) {
		return fmt.Errorf("produce request version %d cannot be decoded, or names more than %d topics and partitions", req.Version, maxElements)
	}
	budgeted, err := s.admitElements(req, len(r.Topics)+len(r.Partitions), producedElementBytes, stage.budgeted > 0)
	if err != nil {
		return err
	}
	stage.budgeted += budgeted
	s.call.Version, s.call.ClientID = req.Version, req.ClientID
	staged := stagedRequest{correlationID: req.CorrelationID, version: req.Version, acks: r.Acks, timeoutMillis: r.TimeoutMillis, topics: len(r.Topics), transactionalID: r.TransactionalID}
	if r.Acks < -1 || r.Acks > 1 {
		staged.err = kerr.InvalidRequiredAcks
	} else if r.transactional() {
		staged.err = s.checkTransactional(r)
	}
	next := 0
	for i := range r.Topics {
		t := stagedTopic{produceTopic: r.Topics[i]}
		unknown := kerr.UnknownTopicOrPartition
		if req.Version >= 13 {
			t.topic, unknown = s.services.Replicas.TopicByID(t.ID), kerr.UnknownTopicID
		} else {
			t.topic = s.services.Replicas.TopicByName(s.call.Identity.Tenant, t.Name)
		}
		if t.topic != nil && t.topic.Tenant != s.call.Identity.Tenant {
			t.topic = nil
		}
		stage.topics = append(stage.topics, t)
		for _, p := range r.Partitions[next : next+t.Partitions] {
			result := stagedResult{index: p.Index, group: -1}
			switch {
			case staged.err != nil:
				result.code = staged.err.Code
			case t.topic == nil:
				result.code = unknown.Code
			default:
				s.stagePartition(t.topic, p, &staged, &result)
			}
			stage.results = append(stage.results, result)
		}
		next += t.Partitions
	}
	stage.requests = append(stage.requests, staged)
	return nil
}

// transactional reports whether any batch of the request is part of a transaction.
func (r *produceRequest) transactional() bool {
	for _, p := range r.Partitions {
		if len(p.Records) >= record.HeaderSize && record.Batch(p.Records).Attributes().IsTransactional() {
			return true
		}
	}
	return false
}

// stagePartition checks one partition's records and adds them to the group of their partition, or sets the result.
func (s *session) stagePartition(t *replica.Topic, p producePartition, r *stagedRequest, result *stagedResult) {
	if !s.services.Allowed(&s.call, security.OperationWrite, security.ResourceTopic, t.Name) {
		result.code = kerr.TopicAuthorizationFailed.Code
		return
	}
	if t.Internal && s.call.ClientID != adminClientID {
		result.code = kerr.InvalidTopicException.Code
		return
	}
	partition, kafkaErr := s.services.Replicas.Find(t, p.Index)
	if kafkaErr != nil {
		result.code = kafkaErr.Code
		return
	}
	batch, err := record.SplitProduced(p.Records, s.call.Version)
	if err == nil {
		result.partition = partition
		batch, err = s.checkBatch(t, partition, batch)
	}
	if err == nil && r.acks == replica.AcksAll {
		err = partition.CheckInSync()
	}
	if err != nil {
		result.refuse(err)
		return
	}
	group := s.produce.group(partition)
	g := &s.produce.groups[group]
	result.group, result.entry = int32(group), int32(len(g.entries))
	if batch.Attributes().IsTransactional() && batch.ProducerID() != record.NoProducerID {
		s.produce.verified = append(s.produce.verified, stagedVerification{group: result.group, entry: result.entry, request: int32(len(s.produce.requests)), result: int32(len(s.produce.results))})
	}
	g.entries = append(g.entries, log.Entry{Batch: batch})
}

// checkBatch applies the topic's rules, as Kafka's LogValidator does.
func (s *session) checkBatch(t *replica.Topic, partition *replica.Partition, batch record.Batch) (record.Batch, error) {
	rules := &s.produce.rules
	*rules = t.Settings().Rules
	rules.ZstdAllowed = s.call.Version >= 7
	rules.TopicPartition = partition.Name()
	return s.check.Check(batch, rules, s.produce.began.UnixMilli())
}

// refuse sets the code and the message of a refusal.
func (r *stagedResult) refuse(err error) {
	r.code, _ = protocolError(err)
	var invalid *record.InvalidBatchError
	if errors.As(err, &invalid) {
		r.message, r.recordErrors = invalid.Message, invalid.RecordErrors
	} else if errors.Is(err, log.ErrNoSpace) {
		r.message = "The disk of the partition's leader is full."
	}
}

// group returns the index of the group of a partition, making it.
func (st *produceStage) group(p *replica.Partition) int {
	if len(st.groups) < manyGroups {
		for i := range st.groups {
			if st.groups[i].partition == p {
				return i
			}
		}
	} else {
		if len(st.byPart) == 0 {
			if st.byPart == nil {
				st.byPart = map[*replica.Partition]int{}
			}
			for i := range st.groups {
				st.byPart[st.groups[i].partition] = i
			}
		}
		if i, ok := st.byPart[p]; ok {
			return i
		}
		st.byPart[p] = len(st.groups)
	}
	if n := len(st.groups); n < cap(st.groups) {
		st.groups = st.groups[:n+1] // keeps the storage of its entries
		g := &st.groups[n]
		*g = produceGroup{partition: p, entries: g.entries[:0], question: -1}
	} else {
		st.groups = append(st.groups, produceGroup{partition: p, question: -1})
	}
	return len(st.groups) - 1
}

// settleProduce appends what was staged, waits once for all of it, and answers every request in order.
func (s *session) settleProduce(w *server.Writer) error {
	stage := &s.produce
	if len(stage.verified) > 0 {
		s.beginVerification()
	}
	for i := range stage.groups {
		if g := &stage.groups[i]; g.question < 0 {
			g.append()
		}
	}
	if len(stage.asked) > 0 { // what needs no answer is on its way to the disk meanwhile
		s.askCoordinators()
		for i := range stage.groups {
			if g := &stage.groups[i]; g.question >= 0 {
				g.append()
			}
		}
	}
	s.countProduced()
	s.awaitCommit()
	err := s.answerProduce(w)
	s.services.MemoryBudget.Release(stage.budgeted)
	stage.budgeted = 0
	s.api.metrics.served(int16(kmsg.Produce), len(stage.requests), s.services.Clock().Sub(stage.began))
	stage.reset()
	return err
}

func (g *produceGroup) append() {
	if planted.Enabled {
		defer plantedExchange(g.entries)()
	}
	g.epoch, _ = g.partition.Append(g.entries, 1, log.OriginClient, replica.AnyEpoch) // each entry has its error
}

func (s *session) countProduced() {
	records, bytes := int64(0), 0
	for i := range s.produce.groups {
		entries := s.produce.groups[i].entries
		for j := range entries {
			if e := &entries[j]; e.Err == nil && !e.Duplicate {
				records += int64(e.Batch.Count())
				bytes += len(e.Batch)
			}
		}
	}
	s.api.metrics.recordsIn.Add(float64(records))
	s.api.metrics.recordBytesIn.Add(float64(bytes))
}

// reset forgets what was staged; a burst that was much larger than usual does not keep its storage.
func (st *produceStage) reset() {
	if len(st.results) > 4096 {
		*st = produceStage{}
		return
	}
	for i := range st.groups {
		clear(st.groups[i].entries)
		st.groups[i].partition = nil
	}
	clear(st.topics)
	clear(st.results)
	clear(st.byPart)
	clear(st.requests)
	clear(st.asked)
	st.verified, st.asked = st.verified[:0], st.asked[:0]
	clear(st.walked.Topics)
	clear(st.walked.Partitions)
	st.requests, st.topics, st.results, st.groups = st.requests[:0], st.topics[:0], st.results[:0], st.groups[:0]
}

// awaitCommit waits until everything appended by requests with acks=all is committed, at most as long as the most
// patient of them allows.
func (s *session) awaitCommit() {
	stage := &s.produce
	timeoutMillis := int32(-1)
	result := 0
	topic := 0
	for i := range stage.requests {
		r := &stage.requests[i]
		for range r.topics {
			for range stage.topics[topic].Partitions {
				stage.await(r, &stage.results[result])
				result++
			}
			topic++
		}
		if r.acks == replica.AcksAll {
			timeoutMillis = max(timeoutMillis, r.timeoutMillis)
		}
	}
	s.waiter.Reset(0)
	waiting := false
	for i := range stage.groups {
		if g := &stage.groups[i]; g.awaited > 0 && g.partition.AwaitOffset(g.awaited, g.epoch, s.waiter) {
			waiting = true
		}
	}
	if !waiting {
		return
	}
	deadline := s.services.Clock().Add(time.Duration(max(timeoutMillis, 0)) * time.Millisecond)
	for s.waiter.Outstanding() {
		left := deadline.Sub(s.services.Clock())
		if left <= 0 || !s.wait(s.call.Context, left) {
			break
		}
	}
	if s.waiter.Outstanding() {
		for i := range stage.groups {
			if g := &stage.groups[i]; g.awaited > 0 {
				g.partition.ForgetOffset(s.waiter)
			}
		}
	}
}

// await notes the offset that an entry of a request with acks=all needs.
func (st *produceStage) await(r *stagedRequest, result *stagedResult) {
	if r.acks != replica.AcksAll || result.group < 0 {
		return
	}
	g := &st.groups[result.group]
	if e := &g.entries[result.entry]; e.Err == nil {
		g.awaited = max(g.awaited, e.LastOffset+1)
	}
}
