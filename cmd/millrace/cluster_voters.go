package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newClusterAddVoterCommand(s *session) *cobra.Command {
	return voterCommand(s, "add-voter NODE", "Make a node that follows the metadata quorum one of its voters",
		"  millrace cluster quorum add-voter 4", "voter", s.addVoter)
}

func newClusterRemoveVoterCommand(s *session) *cobra.Command {
	return voterCommand(s, "remove-voter NODE", "Take the vote of a node in the metadata quorum; it goes on following",
		"  millrace cluster quorum remove-voter 4", "not a voter", s.removeVoterThatFollows)
}

// removeVoterThatFollows refuses a node that the quorum does not know: it is rather a slip than done already.
func (s *session) removeVoterThatFollows(ctx context.Context, id int32) error {
	info, err := describeQuorum(ctx, s.client)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(info.Replicas, func(r quorumReplica) bool { return r.ID == id }) {
		return notFoundf("the metadata quorum has no node %d\nSee its members: millrace cluster quorum", id)
	}
	return s.removeVoter(ctx, id)
}

func voterCommand(s *session, use, short, example, status string, change func(context.Context, int32) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example,
		Long:              short + ".\nKeep an odd number of voters, 3 or 5: an even number survives no more failures than one less.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeBrokers(),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil {
				return usagef("%s is no node id", quote(args[0]))
			}
			ctx, cancel, _, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			var done outcomes
			done.add("node", args[0], status, change(ctx, int32(id)))
			if err := done.print(s, cmd, "NODE"); err != nil {
				return err
			}
			return s.warnOfEvenVoters(cmd, ctx)
		},
	}
}

func (s *session) warnOfEvenVoters(cmd *cobra.Command, ctx context.Context) error {
	info, err := describeQuorum(ctx, s.client)
	if err != nil {
		return err
	}
	voters := 0
	for _, r := range info.Replicas {
		if r.votes() {
			voters++
		}
	}
	if voters%2 == 0 {
		note(cmd, "the quorum has %d voters now: add or remove one, an even number survives no more failures than one less", voters)
	}
	return nil
}

// addVoter gives a node a vote. Where it is and which directory it has, the cluster knows: it follows already.
func (s *session) addVoter(ctx context.Context, id int32) error {
	request := kmsg.NewPtrAddRaftVoterRequest()
	request.VoterID, request.TimeoutMillis, request.AckWhenCommitted = id, int32(s.settings.timeout().Milliseconds()), true
	answer, err := request.RequestWith(ctx, s.client)
	if err == nil {
		err = brokerError(kerr.ErrorForCode(answer.ErrorCode), deref(answer.ErrorMessage))
	}
	switch {
	case errors.Is(err, kerr.DuplicateVoter): // as was wanted
		return nil
	case errors.Is(err, kerr.VoterNotFound):
		return &failure{code: exitNotFound, message: fmt.Sprintf("add voter %d: %v", id, err), cause: err}
	case err != nil:
		return fmt.Errorf("add voter %d: %w", id, err)
	}
	return nil
}

func (s *session) removeVoter(ctx context.Context, id int32) error {
	request := kmsg.NewPtrRemoveRaftVoterRequest()
	request.VoterID = id
	answer, err := request.RequestWith(ctx, s.client)
	if err == nil {
		err = brokerError(kerr.ErrorForCode(answer.ErrorCode), deref(answer.ErrorMessage))
	}
	if errors.Is(err, kerr.VoterNotFound) {
		return nil // as was wanted
	}
	if err != nil {
		return fmt.Errorf("remove voter %d: %w", id, err)
	}
	return nil
}
