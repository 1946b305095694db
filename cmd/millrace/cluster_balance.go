package main

import (
	"cmp"
	"slices"

	"github.com/spf13/cobra"
)

type balanceStatus struct {
	Enabled   string          `json:"enabled"`
	Moves     string          `json:"concurrent_moves"`
	Throttle  string          `json:"throttle_bytes_per_second"`
	UnderWay  int             `json:"under_way"`
	Preferred int             `json:"not_led_by_preferred"`
	Brokers   []balanceBroker `json:"brokers"`
}

type balanceBroker struct {
	ID        int32 `json:"id"`
	Leaders   int   `json:"leaders"`
	Replicas  int   `json:"replicas"`
	SizeBytes int64 `json:"size_bytes"`
}

func newClusterBalanceStatusCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show how evenly replicas are spread, and what is being moved",
		Example: "  millrace cluster balance status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := s.balanceStatus(cmd)
			if err != nil {
				return err
			}
			summary := newTable("BALANCING", "CONCURRENT-MOVES", "THROTTLE", "UNDER-WAY", "NOT-PREFERRED")
			summary.row(status.Enabled, status.Moves, status.Throttle, status.UnderWay, status.Preferred)
			brokers := newTable("BROKER", "LEADERS", "REPLICAS", "SIZE")
			for _, b := range status.Brokers {
				brokers.row(b.ID, b.Leaders, b.Replicas, byteSize(b.SizeBytes))
			}
			return s.print(cmd, status, summary, brokers)
		},
	}
}

func (s *session) balanceStatus(cmd *cobra.Command) (balanceStatus, error) {
	moving, err := s.reassignments(cmd, nil)
	if err != nil {
		return balanceStatus{}, err
	}
	ctx, cancel, admin, err := s.admin(cmd)
	if err != nil {
		return balanceStatus{}, err
	}
	defer cancel()
	list, controller, err := members(ctx, s.client)
	if err != nil {
		return balanceStatus{}, err
	}
	partitions, err := allPartitions(ctx, admin)
	if err != nil {
		return balanceStatus{}, err
	}
	settings := brokerSettings(ctx, admin, controller)
	status := balanceStatus{
		Enabled: cmp.Or(settings[balanceSetting], "unknown"), Moves: cmp.Or(settings[movesSetting], "unknown"),
		Throttle: cmp.Or(settings[balanceRateSetting], "unknown"), UnderWay: len(moving), Brokers: []balanceBroker{},
	}
	for _, m := range list {
		status.Brokers = append(status.Brokers, balanceBroker{ID: m.id})
	}
	count := func(id int32, add func(*balanceBroker)) {
		if i := slices.IndexFunc(status.Brokers, func(b balanceBroker) bool { return b.ID == id }); i >= 0 {
			add(&status.Brokers[i])
		}
	}
	for _, p := range partitions {
		count(p.Leader, func(b *balanceBroker) { b.Leaders++ })
		for _, id := range p.Replicas {
			count(id, func(b *balanceBroker) { b.Replicas++ })
		}
		if len(p.Replicas) > 0 && p.Leader != p.Replicas[0] {
			status.Preferred++
		}
	}
	dirs, _ := admin.DescribeAllLogDirs(ctx, nil) // of a broker that does not answer no size is shown
	for _, d := range dirs.Sorted() {
		count(d.Broker, func(b *balanceBroker) { b.SizeBytes += d.Size() })
	}
	return status, nil
}

func newClusterBalancePauseCommand(s *session) *cobra.Command {
	no := "false"
	return balanceSwitch(s, "pause", "Begin no more moves for balance; draining goes on", "paused", &no)
}

func newClusterBalanceResumeCommand(s *session) *cobra.Command {
	return balanceSwitch(s, "resume", "Let the cluster balance itself again", "resumed", nil)
}

func balanceSwitch(s *session, use, short, status string, value *string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: "  millrace cluster balance " + use, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, _, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			_, controller, err := members(ctx, s.client)
			if err != nil {
				return err
			}
			var done outcomes
			done.add("", "balancing", status, setBrokerConfig(ctx, s.client, controller, clusterDefault, balanceSetting, value))
			return done.print(s, cmd, "WHAT")
		},
	}
}
