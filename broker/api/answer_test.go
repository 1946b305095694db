package api

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/record"
	"github.com/millrace-io/millrace/broker/server"
)

// What kmsg reads of a Produce answer is what was to be said, on every version.
func TestProduceAnswerReadsBack(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		s := newTestSession()
		s.produce.topics = []stagedTopic{
			{produceTopic: produceTopic{Name: []byte("orders"), ID: [16]byte{1}, Partitions: 2}},
			{produceTopic: produceTopic{Name: []byte("rides"), ID: [16]byte{2}, Partitions: 1}},
		}
		s.produce.groups = []produceGroup{{entries: []log.Entry{{BaseOffset: 5, LastOffset: 9, LogAppendTimeMillis: 77, LogStartOffset: 2}}}}
		s.produce.results = []stagedResult{
			{index: 3, group: 0, entry: 0},
			{index: 4, group: -1, code: kerr.InvalidRecord.Code, message: "bad", recordErrors: []record.RecordError{{Index: 1, Message: "no key"}}},
			{index: 0, group: -1, code: kerr.UnknownTopicOrPartition.Code},
		}
		s.produce.requests = []stagedRequest{{correlationID: 9, version: version, acks: 1, topics: 2}}
		var w server.Writer
		if err := s.answerProduce(&w); err != nil {
			t.Fatal(err)
		}
		got := kmsg.NewPtrProduceResponse()
		got.Version = version
		readBack(t, &w, version >= 9, got)

		want := kmsg.NewPtrProduceResponse()
		want.Version = version
		topic := func(name string, id byte, partitions ...kmsg.ProduceResponseTopicPartition) {
			rt := kmsg.NewProduceResponseTopic()
			if version >= 13 {
				rt.TopicID[0] = id
			} else {
				rt.Topic = name
			}
			rt.Partitions = partitions
			want.Topics = append(want.Topics, rt)
		}
		good, bad, unknown := kmsg.NewProduceResponseTopicPartition(), kmsg.NewProduceResponseTopicPartition(), kmsg.NewProduceResponseTopicPartition()
		good.Partition, good.BaseOffset, good.LogAppendTime, good.LogStartOffset = 3, 5, 77, 2
		bad.Partition, bad.BaseOffset, bad.LogAppendTime, bad.LogStartOffset, bad.ErrorCode = 4, -1, -1, -1, kerr.InvalidRecord.Code
		unknown.BaseOffset, unknown.LogAppendTime, unknown.LogStartOffset, unknown.ErrorCode = -1, -1, -1, kerr.UnknownTopicOrPartition.Code
		if version < 5 {
			good.LogStartOffset = -1
		}
		if version >= 8 {
			bad.ErrorMessage = kmsg.StringPtr("bad")
			re := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			re.RelativeOffset, re.ErrorMessage = 1, kmsg.StringPtr("no key")
			bad.ErrorRecords = append(bad.ErrorRecords, re)
		}
		topic("orders", 1, good, bad)
		topic("rides", 2, unknown)
		if diff := cmp.Diff(want.AppendTo(nil), got.AppendTo(nil)); diff != "" {
			t.Errorf("version %d: %s", version, cmp.Diff(want.Topics, got.Topics, cmp.AllowUnexported(kmsg.Tags{})))
		}
	}
}

// What kmsg reads of a Fetch answer is what was to be said, on every version.
func TestFetchAnswerReadsBack(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		s := newTestSession()
		s.fetch.walked.Isolation = readCommitted
		s.fetch.targets = []fetchTarget{
			{fetchPartition: fetchPartition{Index: 1}, name: []byte("orders"), id: [16]byte{1}, highWatermark: 10, lastStable: 9, logStartOffset: 2,
				divergingEpoch: -1, aborted: []log.AbortedTransaction{{ProducerID: 4, FirstOffset: 6}}, respond: true},
			{fetchPartition: fetchPartition{Index: 2}, name: []byte("orders"), id: [16]byte{1}, divergingEpoch: -1},
			{fetchPartition: fetchPartition{Index: 3}, name: []byte("orders"), id: [16]byte{1}, highWatermark: 10, lastStable: 9, logStartOffset: 2,
				divergingEpoch: 7, divergingEnd: 8, respond: true},
			{fetchPartition: fetchPartition{Index: 4}, name: []byte("rides"), id: [16]byte{2}, divergingEpoch: -1},
			{fetchPartition: fetchPartition{Index: 5}, name: []byte("trips"), id: [16]byte{3}, highWatermark: -1, lastStable: -1, logStartOffset: -1,
				divergingEpoch: -1, code: kerr.OffsetOutOfRange.Code, respond: true},
		}
		var w server.Writer
		if err := s.encodeFetch(&w, &fetchAnswer{correlationID: 9, version: version, sessionID: 44}); err != nil {
			t.Fatal(err)
		}
		got := kmsg.NewPtrFetchResponse()
		got.Version = version
		readBack(t, &w, version >= 12, got)
		if len(got.Topics) != 2 || len(got.Topics[0].Partitions) != 2 || len(got.Topics[1].Partitions) != 1 {
			t.Fatalf("version %d: %+v", version, got.Topics)
		}
		if version >= 7 && got.SessionID != 44 || version >= 13 && got.Topics[1].TopicID != [16]byte{3} || version < 13 && got.Topics[1].Topic != "trips" {
			t.Errorf("version %d: %+v", version, got)
		}
		first, diverging, bad := got.Topics[0].Partitions[0], got.Topics[0].Partitions[1], got.Topics[1].Partitions[0]
		if first.Partition != 1 || first.HighWatermark != 10 || first.LastStableOffset != 9 || len(first.AbortedTransactions) != 1 ||
			first.AbortedTransactions[0].ProducerID != 4 || first.AbortedTransactions[0].FirstOffset != 6 || len(first.RecordBatches) != 0 {
			t.Errorf("version %d: %+v", version, first)
		}
		if version >= 5 && first.LogStartOffset != 2 {
			t.Errorf("version %d: log start offset %d", version, first.LogStartOffset)
		}
		if version >= 12 && (diverging.DivergingEpoch.Epoch != 7 || diverging.DivergingEpoch.EndOffset != 8 || first.DivergingEpoch.EndOffset != -1) {
			t.Errorf("version %d: %+v", version, diverging.DivergingEpoch)
		}
		if bad.Partition != 5 || bad.ErrorCode != kerr.OffsetOutOfRange.Code || bad.HighWatermark != -1 || bad.AbortedTransactions != nil {
			t.Errorf("version %d: %+v", version, bad)
		}
	}
}

func newTestSession() *session {
	services := &Services{}
	return &session{services: services, api: &API{services: services, metrics: newMetrics(nil, Table())}}
}

// readBack decodes the one answer that w holds.
func readBack(t *testing.T, w *server.Writer, flexible bool, into kmsg.Response) {
	t.Helper()
	head := 8
	if flexible {
		head = 9
	}
	if err := into.ReadFrom(w.Buf[head:]); err != nil {
		t.Fatalf("version %d: %v", into.GetVersion(), err)
	}
	if again := into.AppendTo(nil); string(again) != string(w.Buf[head:]) {
		t.Fatalf("version %d: there is more in the answer than kmsg read", into.GetVersion())
	}
}
