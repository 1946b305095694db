package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createTopic makes a topic and waits until its partitions have leaders.
func (s *Session) createTopic(step *topicStep) error {
	name := s.filler().expand(step.Name)
	request := kmsg.NewPtrCreateTopicsRequest()
	request.SetVersion(7)
	request.TimeoutMillis = 15000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, max(1, step.Partitions), 1
	for key, value := range step.Configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, &value
		topic.Configs = append(topic.Configs, config)
	}
	request.Topics = append(request.Topics, topic)
	response, err := s.ask(request)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	created := response.(*kmsg.CreateTopicsResponse)
	if len(created.Topics) != 1 || created.Topics[0].ErrorCode != 0 {
		return fmt.Errorf("create topic %s: %v", name, errorCodes(reflect.ValueOf(response)))
	}
	s.learn(response)
	if err := s.awaitLeaders(name, int(max(1, step.Partitions))); err != nil {
		return err
	}
	if s.instance.File == "consumergroups.yaml" || s.instance.File == "streamsgroups.yaml" {
		time.Sleep(groupsKnowTopicsWithin)
	}
	return nil
}

// groupsKnowTopicsWithin is how long Kafka's group coordinator may need to learn of a topic that its broker knows. Nothing
// that a client can ask tells when it has.
const groupsKnowTopicsWithin = 500 * time.Millisecond

// awaitLeaders returns once every partition answers as its leader. Metadata alone is not enough: Kafka's broker learns
// of a topic before its logs are open.
func (s *Session) awaitLeaders(topic string, partitions int) error {
	for deadline := time.Now().Add(answerWithin); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		metadata := kmsg.NewPtrMetadataRequest()
		metadata.SetVersion(12)
		asked := kmsg.NewMetadataRequestTopic()
		asked.Topic = &topic
		metadata.Topics = append(metadata.Topics, asked)
		response, err := s.ask(metadata)
		if err != nil {
			return err
		}
		found := response.(*kmsg.MetadataResponse).Topics
		if len(found) != 1 || len(found[0].Partitions) != partitions || !allZero(errorCodes(reflect.ValueOf(response))) {
			continue
		}
		if response, err = s.ask(endOffsets(topic, partitions)); err != nil {
			return err
		}
		if allZero(errorCodes(reflect.ValueOf(response))) {
			return nil
		}
	}
	return fmt.Errorf("topic %s has no leaders", topic)
}

func endOffsets(topic string, partitions int) kmsg.Request {
	request := kmsg.NewPtrListOffsetsRequest()
	request.SetVersion(6)
	request.ReplicaID = -1
	asked := kmsg.NewListOffsetsRequestTopic()
	asked.Topic = topic
	for i := range partitions {
		partition := kmsg.NewListOffsetsRequestTopicPartition()
		partition.Partition, partition.Timestamp = int32(i), -1
		asked.Partitions = append(asked.Partitions, partition)
	}
	request.Topics = append(request.Topics, asked)
	return request
}

func allZero(codes []int16) bool {
	for _, code := range codes {
		if code != 0 {
			return false
		}
	}
	return true
}

// produce appends batches, each by a request of its own; the server must accept them.
func (s *Session) produce(step *produceStep) error {
	f := s.filler()
	for i := range step.Batches {
		batch, err := f.encodeBatch(&step.Batches[i])
		if err != nil {
			return err
		}
		request := kmsg.NewPtrProduceRequest()
		request.SetVersion(11)
		request.Acks, request.TimeoutMillis = -1, 10000
		topic := kmsg.NewProduceRequestTopic()
		topic.Topic = f.expand(step.Topic)
		partition := kmsg.NewProduceRequestTopicPartition()
		partition.Partition, partition.Records = step.Partition, batch
		topic.Partitions = append(topic.Partitions, partition)
		request.Topics = append(request.Topics, topic)
		response, err := s.ask(request)
		if err != nil {
			return fmt.Errorf("produce to %s: %w", topic.Topic, err)
		}
		if codes := errorCodes(reflect.ValueOf(response)); !allZero(codes) {
			return fmt.Errorf("produce to %s: %v", topic.Topic, codes)
		}
	}
	return nil
}

// ask sends a request on a connection that scripts do not name and returns the answer.
func (s *Session) ask(request kmsg.Request) (kmsg.Response, error) {
	c, err := s.connect("helper")
	if err != nil {
		return nil, err
	}
	if err := c.send(request, false); err != nil {
		return nil, err
	}
	return c.receive(answerWithin)
}

// sendBroken sends a request of the instance's API that is wrong as a frame, and shows what comes of it.
func (s *Session) sendBroken(step *Step) ([]Line, error) {
	frame, err := brokenFrame(s.instance.About, s.instance.Version, step.Broken)
	if err != nil {
		return nil, err
	}
	c, err := s.connect(step.Connection)
	if err != nil {
		return nil, err
	}
	request := kmsg.RequestForKey(s.instance.About.Key)
	request.SetVersion(s.instance.Version)
	return s.exchangeBytes(c, step, frame, request)
}

// defaultRequest is a request of default fields that is answered.
func defaultRequest(api API, version int16) kmsg.Request {
	request := kmsg.RequestForKey(api.Key)
	request.SetVersion(version)
	setDefaults(reflect.ValueOf(request))
	if produce, ok := request.(*kmsg.ProduceRequest); ok {
		produce.Acks = -1 // acks 0 has no answer, whatever becomes of the request
	}
	if list, ok := request.(*kmsg.ListTransactionsRequest); ok {
		list.ProducerIDFilters = []int64{math.MaxInt64} // nobody's: other conversations have transactions, too
	}
	return request
}

// brokenFrame builds a request of default fields and breaks it.
func brokenFrame(api API, version int16, how string) ([]byte, error) {
	request := defaultRequest(api, version)
	header := len(encodeRequest(request, 77)) - len(request.AppendTo(nil))
	frame := encodeRequest(request, 77)
	switch how {
	case "without a body":
		frame = frame[:header]
	case "cut by a byte":
		frame = frame[:max(header, len(frame)-1)]
	case "with bytes after the body":
		frame = append(frame, 1, 2, 3)
	case "with a body of ones":
		frame = append(frame[:header], bytes.Repeat([]byte{0xff}, 32)...)
	case "with huge lengths":
		frame = frame[:header]
		for range 8 {
			frame = append(frame, 0x7f, 0xff, 0xff, 0xff)
		}
	case "of a version too new":
		binary.BigEndian.PutUint16(frame[6:], uint16(api.Max+1))
	case "of a negative version":
		binary.BigEndian.PutUint16(frame[6:], 0xffff)
	default:
		return nil, fmt.Errorf("a frame cannot be broken by %q", how)
	}
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame, nil
}
