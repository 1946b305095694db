package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/millrace-io/millrace/broker/coordinator/fields"
)

// errNegativePartition is a record that nobody wrote.
var errNegativePartition = errors.New("a partition has a negative number")

// topicID reads a topic id.
func topicID(r *fields.Reader) (id TopicID) {
	copy(id[:], r.Take(len(id)))
	return id
}

// partitionNumbers reads numbers of partitions, sorted, each once.
func partitionNumbers(r *fields.Reader) []int32 {
	list := r.Int32s()
	slices.Sort(list)
	if len(list) > 0 && list[0] < 0 {
		r.Fail(errNegativePartition)
	}
	return slices.Compact(list)
}

func appendString(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}

func appendNullableString(dst []byte, s *string) []byte {
	if s == nil {
		return append(dst, 0xff, 0xff)
	}
	return appendString(dst, *s)
}

func appendBytes(dst, p []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(p)))
	return append(dst, p...)
}

func errVersion(what string, version int16) error {
	return fmt.Errorf("%s: version %d is not known", what, version)
}
