package state

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/millrace-io/millrace/broker/coordinator"
)

// Key names a partition in a share group.
type Key struct {
	Group     string // as groups are named in records: of other tenants than the default with a prefix
	Topic     [16]byte
	Partition int32
}

// GroupName is a group's name in records and between brokers.
func GroupName(tenant, id string) string { return coordinator.QualifiedName(tenant, id) }

// String is the key as FindCoordinator has it: group:topic id:partition.
func (k Key) String() string {
	return fmt.Sprintf("%s:%s:%d", k.Group, base64.RawURLEncoding.EncodeToString(k.Topic[:]), k.Partition)
}

// ParseKey reads a key of FindCoordinator.
func ParseKey(s string) (k Key, ok bool) {
	rest, partition, ok := cutLast(s)
	if !ok {
		return k, false
	}
	group, topic, ok := cutLast(rest)
	id, err := base64.RawURLEncoding.DecodeString(topic)
	if !ok || err != nil || len(id) != 16 || group == "" {
		return k, false
	}
	if _, err := fmt.Sscanf(partition, "%d", &k.Partition); err != nil || k.Partition < 0 {
		return k, false
	}
	k.Group = group
	copy(k.Topic[:], id)
	return k, true
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// PartitionFor is the partition of __share_group_state that holds the key; -1 where it has none.
func PartitionFor(k Key, count int32) int32 { return coordinator.PartitionFor(k.String(), count) }
