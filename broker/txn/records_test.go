package txn

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/millrace-io/millrace/broker/coordinator"
)

func anyState(rt *rapid.T) state {
	s := state{
		producerID: rapid.Int64().Draw(rt, "producer"), previousProducerID: rapid.SampledFrom([]int64{-1, 7}).Draw(rt, "previous"),
		nextProducerID: rapid.SampledFrom([]int64{-1, 9}).Draw(rt, "next"), epoch: rapid.Int16().Draw(rt, "epoch"),
		lastEpoch: rapid.Int16().Draw(rt, "last"), timeoutMillis: rapid.Int32().Draw(rt, "timeout"),
		status:       status(rapid.IntRange(0, int(statusCount)-1).Draw(rt, "status")),
		updateMillis: rapid.Int64().Draw(rt, "update"), startMillis: rapid.Int64().Draw(rt, "start"),
		clientVersion: rapid.Int16Range(0, 2).Draw(rt, "version"),
	}
	if s.status != empty {
		for range rapid.IntRange(0, 5).Draw(rt, "partitions") {
			s.partitions = include(s.partitions, Partition{rapid.StringN(0, 3, -1).Draw(rt, "topic"), rapid.Int32Range(0, 5).Draw(rt, "partition")})
		}
	}
	return s
}

// TestRecordsComeBack: what is written is read again, by us and as Kafka defines it.
func TestRecordsComeBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		k := key{rapid.SampledFrom([]string{defaultTenant, "other"}).Draw(rt, "tenant"), rapid.String().Draw(rt, "id")}
		s := anyState(rt)
		r := stateRecord(k, s)
		read, known, err := parseKey(r.Key)
		if err != nil || !known || read != k {
			rt.Fatalf("key %v becomes %v, known %v, error %v", k, read, known, err)
		}
		again, err := parseState(r.Value)
		if err != nil || !reflect.DeepEqual(again, s) {
			rt.Fatalf("%+v becomes %+v, error %v", s, again, err)
		}
		checkKafkas(rt, r, s)
	})
}

func checkKafkas(rt *rapid.T, r coordinator.Record, s state) {
	v := kmsg.NewTxnMetadataValue()
	if err := v.ReadFrom(r.Value); err != nil {
		rt.Fatal(err)
	}
	var list []topicPartitions
	for _, t := range v.Topics {
		list = append(list, topicPartitions{t.Topic, t.Partitions})
	}
	got := state{
		producerID: v.ProducerID, previousProducerID: v.PreviousProducerID, nextProducerID: v.NextProducerID, epoch: v.ProducerEpoch,
		lastEpoch: s.lastEpoch, timeoutMillis: v.TimeoutMillis, status: status(v.State), partitions: list,
		updateMillis: v.LastUpdateTimestamp, startMillis: v.StartTimestamp, clientVersion: v.ClientTransactionVersion,
	}
	if diff := cmp.Diff(s, got, cmp.AllowUnexported(state{}, topicPartitions{})); diff != "" {
		rt.Fatal(diff)
	}
	if again := v.AppendTo(nil); !bytes.Equal(again, r.Value) {
		rt.Fatalf("Kafka's codec writes\n%x\nours\n%x", again, r.Value)
	}
}

// TestKafkasOldRecords: version 0, as Kafka writes it before transaction.version 1.
func TestKafkasOldRecords(t *testing.T) {
	v := kmsg.NewTxnMetadataValue()
	v.Version, v.ProducerID, v.ProducerEpoch, v.TimeoutMillis, v.State = 0, 5, 3, 1000, 1
	v.Topics = []kmsg.TxnMetadataValueTopic{{Topic: "b", Partitions: []int32{2, 1}}, {Topic: "a", Partitions: []int32{0}}}
	v.LastUpdateTimestamp, v.StartTimestamp = 20, 10
	got, err := parseState(v.AppendTo(nil))
	want := newState(5, 1000)
	want.epoch, want.status, want.updateMillis, want.startMillis = 3, ongoing, 20, 10
	want.partitions = []topicPartitions{{"a", []int32{0}}, {"b", []int32{1, 2}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, error %v", got, err)
	}
}

// TestRecordsThatStopALoad: nothing that was acknowledged is ignored silently.
func TestRecordsThatStopALoad(t *testing.T) {
	good := stateRecord(key{defaultTenant, "t"}, newState(5, 1000).withPartitions([]topicPartitions{{"a", []int32{0}}}, 2, time.UnixMilli(1)))
	for cut := range good.Value {
		if _, err := parseState(good.Value[:cut]); err == nil {
			t.Errorf("a value of %d bytes is read", cut)
		}
	}
	for cut := range len(good.Key) {
		if _, _, err := parseKey(good.Key[:cut]); err == nil {
			t.Errorf("a key of %d bytes is read", cut)
		}
	}
	version, status := bytes.Clone(good.Value), bytes.Clone(good.Value)
	version[1], status[16] = 2, 6
	for _, value := range [][]byte{version, status} {
		if err := newShard(DefaultSettings).Replay(coordinator.Record{Key: good.Key, Value: value}); err == nil {
			t.Errorf("%x is read", value)
		}
	}
	other := bytes.Clone(good.Key)
	other[1] = 9
	if err := newShard(DefaultSettings).Replay(coordinator.Record{Key: other, Value: []byte{1}}); err != nil {
		t.Errorf("a key of another version: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	good := stateRecord(key{defaultTenant, "t"}, newState(5, 1000).withPartitions([]topicPartitions{{"a", []int32{0}}}, 2, time.UnixMilli(1)))
	f.Add(good.Key, good.Value)
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if len(k)+len(v) > 1<<12 {
			return
		}
		name, known, err := parseKey(k)
		if err != nil || !known {
			return
		}
		s, err := parseState(v)
		if err != nil {
			return
		}
		again, err := parseState(stateRecord(name, s).Value)
		if s.status == empty {
			s.partitions = nil
		}
		if err != nil || !reflect.DeepEqual(again, s) {
			t.Errorf("%+v becomes %+v, error %v", s, again, err)
		}
	})
}
