package api

import "fmt"

const maxTopicNameLength = 249

// topicNameFault says what Kafka says of a name that no topic can have; "" is a name that one can.
func topicNameFault(name string) string {
	switch {
	case name == "":
		return "Topic name is invalid: the empty string is not allowed"
	case name == "." || name == "..":
		return fmt.Sprintf("Topic name is invalid: '%s' is not allowed", name)
	case len(name) > maxTopicNameLength:
		return fmt.Sprintf("Topic name is invalid: the length of '%s' is longer than the max allowed length %d", name, maxTopicNameLength)
	}
	for i := range len(name) {
		if !topicNameByte(name[i]) {
			return fmt.Sprintf("Topic name is invalid: '%s' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'", name)
		}
	}
	return ""
}

func topicNameByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-'
}

// The topics that Kafka keeps for itself.
const (
	groupMetadataTopic    = "__consumer_offsets"
	transactionStateTopic = "__transaction_state"
	shareGroupStateTopic  = "__share_group_state"
	clusterMetadataTopic  = "__cluster_metadata"
)

// internalTopic reports whether answers flag the topic as internal, whether or not it exists.
func internalTopic(name string) bool {
	return name == groupMetadataTopic || name == transactionStateTopic || name == shareGroupStateTopic
}
