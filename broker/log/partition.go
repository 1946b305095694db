package log

import (
	"encoding/base64"
	"strconv"
)

// TopicID names a topic for ever; a topic made again under the same name gets another one.
type TopicID [16]byte

// String is Kafka's form: base64url without padding.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseTopicID reads Kafka's form.
func ParseTopicID(s string) (id TopicID, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil && len(b) != len(id) {
		err = base64.CorruptInputError(len(s))
	}
	if err != nil {
		return TopicID{}, err
	}
	return TopicID(b), nil
}

// TopicPartition names a log.
type TopicPartition struct {
	TopicID   TopicID
	Topic     string
	Partition int32
}

// String is the name of the partition's directory.
func (tp TopicPartition) String() string {
	return tp.Topic + "-" + strconv.FormatInt(int64(tp.Partition), 10)
}
