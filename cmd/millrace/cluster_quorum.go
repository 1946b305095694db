package main

import (
	"context"
	"errors"
	"fmt"
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
	Role         string `json:"role"`
	LogEndOffset int64  `json:"log_end_offset"`
	Lag          int64  `json:"lag"`
	LastCaughtUp int64  `json:"last_caught_up_timestamp"`
}

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
			replicas := newTable("REPLICA", "ROLE", "LOG-END", "LAG", "CAUGHT-UP")
			for _, r := range info.Replicas {
				caughtUp := "-"
				if r.LastCaughtUp > 0 {
					caughtUp = millisText(r.LastCaughtUp)
				}
				replicas.row(r.ID, r.Role, r.LogEndOffset, r.Lag, caughtUp)
			}
			return s.print(cmd, info, summary, replicas)
		},
	}
	cmd.AddCommand(newClusterAddVoterCommand(s), newClusterRemoveVoterCommand(s))
	return cmd
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
	var leaderEnd int64
	for _, v := range p.CurrentVoters {
		if v.ReplicaID == p.LeaderID {
			leaderEnd = v.LogEndOffset
		}
	}
	add := func(role string, states []kmsg.DescribeQuorumResponseTopicPartitionReplicaState) {
		for _, r := range states {
			if role == "voter" && r.ReplicaID == p.LeaderID {
				info.Replicas = append(info.Replicas, quorumReplica{r.ReplicaID, "leader", r.LogEndOffset, 0, r.LastCaughtUpTimestamp})
				continue
			}
			info.Replicas = append(info.Replicas, quorumReplica{r.ReplicaID, role, r.LogEndOffset, leaderEnd - r.LogEndOffset, r.LastCaughtUpTimestamp})
		}
	}
	add("voter", p.CurrentVoters)
	add("observer", p.Observers)
	return info, nil
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}
