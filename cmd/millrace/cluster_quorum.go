package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

type quorumInfo struct {
	Leader        int32           `json:"leader"`
	LeaderEpoch   int32           `json:"leader_epoch"`
	HighWatermark int64           `json:"high_watermark"`
	Replicas      []quorumReplica `json:"replicas"`
}

type quorumReplica struct {
	ID           int32  `json:"id"`
	DirectoryID  string `json:"directory_id"` // a node whose disk was replaced is another replica
	Role         string `json:"role"`
	LogEndOffset int64  `json:"log_end_offset"` // -1: unknown
	Lag          int64  `json:"lag"`            // -1: unknown
	LastFetch    int64  `json:"last_fetch_timestamp"`
	LastCaughtUp int64  `json:"last_caught_up_timestamp"`
}

// silentMillis is how long before the leader's own time a voter was heard of last that is there no more.
const silentMillis = 5_000

// votes reports whether the replica is one of the voters.
func (r quorumReplica) votes() bool { return r.Role != "observer" }

func newClusterQuorumCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "quorum",
		Short:   "Show the metadata quorum: leader, voters, observers and how far they are",
		Example: "  millrace cluster quorum\n  millrace cluster quorum --format json",
		Args:    nounArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, _, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			info, err := describeQuorum(ctx, s.client)
			if err != nil {
				return err
			}
			summary := newTable("LEADER", "EPOCH", "HIGH-WATERMARK")
			summary.row(info.Leader, info.LeaderEpoch, info.HighWatermark)
			replicas := newTable("REPLICA", "DIRECTORY", "ROLE", "LOG-END", "LAG", "LAST-FETCH", "CAUGHT-UP")
			for _, r := range info.Replicas {
				replicas.row(r.ID, r.DirectoryID, r.Role, offsetText(r.LogEndOffset), offsetText(r.Lag), momentText(r.LastFetch), momentText(r.LastCaughtUp))
			}
			return s.print(cmd, info, summary, replicas)
		},
	}
	cmd.AddCommand(newClusterAddVoterCommand(s), newClusterRemoveVoterCommand(s))
	return cmd
}

// offsetText is "-" for what is not known.
func offsetText(offset int64) string {
	if offset < 0 {
		return "-"
	}
	return strconv.FormatInt(offset, 10)
}

func momentText(millis int64) string {
	if millis <= 0 {
		return "-"
	}
	return millisText(millis)
}

func describeQuorum(ctx context.Context, client *kgo.Client) (quorumInfo, error) {
	response, err := quorumRequest().RequestWith(ctx, client)
	if err != nil {
		return quorumInfo{}, quorumTrouble(err)
	}
	info, err := readQuorum(response)
	if err != nil {
		return quorumInfo{}, fmt.Errorf("describe quorum: %w", err)
	}
	return info, nil
}

func quorumRequest() *kmsg.DescribeQuorumRequest {
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic, topic.Partitions = "__cluster_metadata", append(topic.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	request := kmsg.NewPtrDescribeQuorumRequest()
	request.Topics = append(request.Topics, topic)
	return request
}

// quorumIsLost asks a broker, once, and reports whether it says that the metadata quorum has no leader.
func quorumIsLost(ctx context.Context, client *kgo.Client) bool {
	ctx, cancel := context.WithTimeout(ctx, quorumPatience)
	defer cancel()
	for _, broker := range client.DiscoveredBrokers() {
		response, err := broker.Request(ctx, quorumRequest()) // not tried again, as NOT_CONTROLLER would be
		if err != nil {
			continue
		}
		info, err := readQuorum(response.(*kmsg.DescribeQuorumResponse))
		return errors.Is(err, kerr.NotController) || errors.Is(err, kerr.RequestTimedOut) || err == nil && info.Leader < 0
	}
	return false
}

// quorumPatience bounds looking for the cause of a failure.
const quorumPatience = 4 * time.Second

func quorumTrouble(err error) error {
	if errors.Is(err, kgo.ErrClientClosed) || isTimeout(err) || isNetwork(err) {
		return fmt.Errorf("describe quorum: %w", err)
	}
	return fmt.Errorf("describe quorum: %w\nClusters with ZooKeeper have no quorum to describe", err)
}

func readQuorum(response *kmsg.DescribeQuorumResponse) (quorumInfo, error) {
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return quorumInfo{}, brokerError(err, deref(response.ErrorMessage))
	}
	if len(response.Topics) == 0 || len(response.Topics[0].Partitions) == 0 {
		return quorumInfo{}, errors.New("the broker's answer is empty")
	}
	p := response.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
		return quorumInfo{}, brokerError(err, deref(p.ErrorMessage))
	}
	info := quorumInfo{Leader: p.LeaderID, LeaderEpoch: p.LeaderEpoch, HighWatermark: p.HighWatermark, Replicas: []quorumReplica{}}
	leader := leaderOf(p)
	for i, states := range [][]kmsg.DescribeQuorumResponseTopicPartitionReplicaState{p.CurrentVoters, p.Observers} {
		for at, r := range states {
			role := [...]string{"voter", "observer"}[i]
			if i == 0 && at == leader {
				role = "leader"
			}
			replica := quorumReplica{
				ID: r.ReplicaID, DirectoryID: base64.RawURLEncoding.EncodeToString(r.ReplicaDirectoryID[:]), Role: role, LogEndOffset: r.LogEndOffset, Lag: -1,
				LastFetch: r.LastFetchTimestamp, LastCaughtUp: r.LastCaughtUpTimestamp,
			}
			if leader >= 0 && r.LogEndOffset >= 0 {
				replica.Lag = max(p.CurrentVoters[leader].LogEndOffset-r.LogEndOffset, 0)
			}
			info.Replicas = append(info.Replicas, replica)
		}
	}
	return info, nil
}

// leaderOf returns which of the voters leads: of two with its node id, before the member of a lost disk is removed, the one
// that was heard of last; -1 for none.
func leaderOf(p kmsg.DescribeQuorumResponseTopicPartition) int {
	leader := -1
	for i, v := range p.CurrentVoters {
		if v.ReplicaID == p.LeaderID && (leader < 0 || v.LastFetchTimestamp > p.CurrentVoters[leader].LastFetchTimestamp) {
			leader = i
		}
	}
	return leader
}

// silent reports whether the leader has not heard of a voter for a while, as far as it is known.
func (info quorumInfo) silent(voter quorumReplica) bool {
	for _, r := range info.Replicas {
		if r.Role == "leader" && r.LastFetch > 0 {
			return voter.LastFetch < r.LastFetch-silentMillis
		}
	}
	return false
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
