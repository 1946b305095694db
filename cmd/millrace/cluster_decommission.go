package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newClusterDecommissionCommand(s *session) *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "decommission BROKER",
		Short: "Take a broker out of the cluster for good",
		Long: `Drains a broker and waits until it holds nothing, takes it out of the metadata quorum (a broker that is no voter yet takes its
place if there is one), waits until its process has been stopped, and removes its registration. It may be interrupted at any
step and run again.`,
		Example: `  millrace cluster decommission 4 --dry-run
  millrace cluster decommission 4 --yes`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeBrokers(),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := s.drain(cmd, args[0], true)
			if err != nil {
				return err
			}
			if dryRun {
				plan.Status = "would be drained, stopped and removed"
				return s.print(cmd, plan, drainTable(plan))
			}
			question := fmt.Sprintf("Take broker %d out of the cluster for good, with %s to move?", plan.Broker, plural(plan.Replicas, "replica"))
			if err := confirm(cmd, yes, question); err != nil {
				return err
			}
			if err := s.decommission(cmd, args[0], plan.Broker); err != nil {
				return err
			}
			var done outcomes
			done.add("broker", strconv.Itoa(int(plan.Broker)), "decommissioned", nil)
			return done.print(s, cmd, "BROKER")
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be done, change nothing")
	return cmd
}

func (s *session) decommission(cmd *cobra.Command, argument string, broker int32) error {
	if _, err := s.drain(cmd, argument, false); err != nil {
		return err
	}
	if err := s.awaitDrained(cmd, broker); err != nil {
		return err
	}
	if err := s.leaveQuorum(cmd, broker); err != nil {
		return err
	}
	if err := s.awaitStopped(cmd, broker); err != nil {
		return err
	}
	return s.unregister(cmd, broker)
}

// leaveQuorum removes a voter after another broker has taken its place, so that the number of voters stays odd.
func (s *session) leaveQuorum(cmd *cobra.Command, broker int32) error {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	info, err := describeQuorum(ctx, s.client)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(info.Replicas, func(r quorumReplica) bool { return r.ID == broker && r.votes() }) {
		return nil
	}
	list, _, err := members(ctx, s.client)
	if err != nil {
		return err
	}
	for _, r := range info.Replicas {
		alive := slices.ContainsFunc(list, func(m clusterMember) bool { return m.id == r.ID && !m.fenced })
		if r.votes() || r.ID == broker || !alive {
			continue
		}
		note(cmd, "broker %d becomes a voter in place of broker %d", r.ID, broker)
		if err := s.addVoter(ctx, r.ID); err != nil {
			return err
		}
		break
	}
	note(cmd, "broker %d leaves the metadata quorum", broker)
	return s.removeVoter(ctx, broker)
}

// awaitStopped returns when the cluster holds the broker for dead.
func (s *session) awaitStopped(cmd *cobra.Command, broker int32) error {
	return s.await(cmd, func(ctx context.Context, _ *kadm.Client) (bool, string, error) {
		list, _, err := members(ctx, s.client)
		if err != nil {
			return false, "", err
		}
		runs := slices.ContainsFunc(list, func(m clusterMember) bool { return m.id == broker && !m.fenced })
		if runs {
			return false, fmt.Sprintf("broker %d holds nothing any more: stop its process now (SIGTERM)", broker), nil
		}
		return true, fmt.Sprintf("broker %d has stopped", broker), nil
	})
}

// unregister has the broker forgotten, and with it that it drains: a later broker of this id begins afresh. One that is
// forgotten already was so by an attempt whose answer was lost.
func (s *session) unregister(cmd *cobra.Command, broker int32) error {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	request := kmsg.NewPtrUnregisterBrokerRequest()
	request.BrokerID = broker
	answer, err := request.RequestWith(ctx, s.client)
	if err == nil {
		err = brokerError(kerr.ErrorForCode(answer.ErrorCode), deref(answer.ErrorMessage))
	}
	if err != nil {
		return fmt.Errorf("unregister broker %d: %w", broker, err)
	}
	return nil
}
