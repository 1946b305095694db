package oracle

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// API is one request kind and the versions of it that the suite speaks.
type API struct {
	Key      int16
	Min, Max int16
}

// Spoken lists what the conversations must cover: every API of the first release, every version that Kafka 4.4 accepts
// (as far as kmsg can encode it).
func Spoken() []API {
	return []API{
		{0, 3, 13}, // Produce
		{1, 4, 18}, // Fetch
		{2, 1, 11}, // ListOffsets
		{3, 0, 13}, // Metadata
		{8, 2, 10}, // OffsetCommit
		{9, 1, 10}, // OffsetFetch
		{10, 0, 6}, // FindCoordinator
		{11, 0, 9}, // JoinGroup
		{12, 0, 4}, // Heartbeat
		{13, 0, 5}, // LeaveGroup
		{14, 0, 5}, // SyncGroup
		{15, 0, 6}, // DescribeGroups
		{16, 0, 5}, // ListGroups
		{17, 0, 1}, // SaslHandshake
		{18, 0, 5}, // ApiVersions
		{19, 2, 7}, // CreateTopics
		{20, 1, 6}, // DeleteTopics
		{21, 0, 2}, // DeleteRecords
		{22, 0, 5}, // InitProducerId
		{23, 2, 4}, // OffsetForLeaderEpoch
		{24, 0, 5}, // AddPartitionsToTxn
		{25, 0, 4}, // AddOffsetsToTxn
		{26, 0, 5}, // EndTxn
		{27, 1, 2}, // WriteTxnMarkers
		{28, 0, 6}, // TxnOffsetCommit
		{32, 1, 4}, // DescribeConfigs
		{33, 0, 2}, // AlterConfigs
		{35, 1, 5}, // DescribeLogDirs
		{36, 0, 2}, // SaslAuthenticate
		{37, 0, 3}, // CreatePartitions
		{42, 0, 3}, // DeleteGroups
		{43, 0, 2}, // ElectLeaders
		{44, 0, 1}, // IncrementalAlterConfigs
		{45, 0, 1}, // AlterPartitionReassignments
		{46, 0, 0}, // ListPartitionReassignments
		{47, 0, 0}, // OffsetDelete
		{55, 0, 2}, // DescribeQuorum
		{57, 0, 2}, // UpdateFeatures
		{60, 0, 2}, // DescribeCluster
		{61, 0, 0}, // DescribeProducers
		{64, 0, 0}, // UnregisterBroker
		{65, 0, 0}, // DescribeTransactions
		{66, 0, 2}, // ListTransactions
		{68, 0, 1}, // ConsumerGroupHeartbeat
		{69, 0, 1}, // ConsumerGroupDescribe
		{74, 0, 1}, // ListConfigResources
		{75, 0, 0}, // DescribeTopicPartitions
		{76, 1, 1}, // ShareGroupHeartbeat
		{77, 1, 1}, // ShareGroupDescribe
		{78, 1, 2}, // ShareFetch
		{79, 1, 2}, // ShareAcknowledge
		{80, 0, 1}, // AddRaftVoter
		{81, 0, 0}, // RemoveRaftVoter
		{83, 0, 0}, // InitializeShareGroupState
		{84, 0, 0}, // ReadShareGroupState
		{85, 0, 1}, // WriteShareGroupState
		{86, 0, 0}, // DeleteShareGroupState
		{87, 0, 1}, // ReadShareGroupStateSummary
		{88, 0, 0}, // StreamsGroupHeartbeat
		{89, 0, 0}, // StreamsGroupDescribe
		{90, 0, 1}, // DescribeShareGroupOffsets
		{91, 0, 0}, // AlterShareGroupOffsets
		{92, 0, 0}, // DeleteShareGroupOffsets
	}
}

// Name is the API's name as kmsg writes it.
func (a API) Name() string { return kmsg.NameForKey(a.Key) }

// apiByName finds a spoken API.
func apiByName(name string) (API, error) {
	for _, api := range Spoken() {
		if api.Name() == name {
			return api, nil
		}
	}
	return API{}, fmt.Errorf("no spoken API is named %q", name)
}

// versionRange is an inclusive range as scripts write it: "3", "3-7", "3-" or "-7".
func versionRange(text string, min, max int16) (from, to int16, err error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	from, to = min, max
	for _, part := range []struct {
		text string
		into *int16
	}{{low, &from}, {high, &to}} {
		if part.text == "" {
			continue
		}
		n, err := strconv.ParseInt(part.text, 10, 16)
		if err != nil {
			return 0, 0, fmt.Errorf("version range %q: %w", text, err)
		}
		*part.into = int16(n)
	}
	if from > to || from < min || to > max {
		return 0, 0, fmt.Errorf("version range %q is outside %d-%d", text, min, max)
	}
	return from, to, nil
}
