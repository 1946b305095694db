package api

import "github.com/millrace-io/millrace/metadata/controller"

// The topics that Kafka keeps for itself.
const (
	groupMetadataTopic    = "__consumer_offsets"
	transactionStateTopic = "__transaction_state"
	shareGroupStateTopic  = "__share_group_state"
	clusterMetadataTopic  = "__cluster_metadata" // the metadata log; not a topic here
)

func validTopicName(name string) bool { return controller.CheckTopicName(name) == nil }
