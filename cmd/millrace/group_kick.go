package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newGroupKickCommand(s *session) *cobra.Command {
	var all, yes, dryRun bool
	cmd := &cobra.Command{
		Use:   "kick GROUP (MEMBER... | --all)",
		Short: "Remove members from a group; its other members share their partitions",
		Long:  "Remove members from a group, by member id, instance id or client id. A client that still lives joins again.",
		Example: `  millrace group members billing
  millrace group kick billing consumer-7
  millrace group kick billing --all --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeFirst(s.completeGroups()),
		RunE: func(cmd *cobra.Command, args []string) error {
			group, wanted := args[0], args[1:]
			if all == (len(wanted) > 0) {
				return usagef("name the members to remove, or give --all")
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			described, err := s.oneGroup(ctx, admin, group)
			cancel()
			if err != nil {
				return err
			}
			done := outcomes{}
			var leaving []kadm.DescribedGroupMember
			for _, m := range described.Members {
				if all || namesMember(wanted, m) {
					leaving = append(leaving, m)
				}
			}
			for _, name := range wanted {
				if !anyMember(leaving, name) {
					done.add("member", name, "", notFoundf("group %s has no such member\nList them: millrace group members %s", quote(group), group))
				}
			}
			if dryRun || len(leaving) == 0 {
				for _, m := range leaving {
					done.add("member", m.MemberID, "would be removed", nil)
				}
				return done.print(s, cmd, "MEMBER")
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Remove %s from group %s?", plural(len(leaving), "member"), group)); err != nil {
				return err
			}
			if err := s.leave(cmd, group, leaving, &done); err != nil {
				return err
			}
			return done.print(s, cmd, "MEMBER")
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "remove every member")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show who would be removed, remove nobody")
	return cmd
}

func namesMember(wanted []string, m kadm.DescribedGroupMember) bool {
	return contains(wanted, m.MemberID) || contains(wanted, m.ClientID) || m.InstanceID != nil && contains(wanted, *m.InstanceID)
}

func anyMember(members []kadm.DescribedGroupMember, name string) bool {
	for _, m := range members {
		if namesMember([]string{name}, m) {
			return true
		}
	}
	return false
}

// leave sends LeaveGroup in the members' names; kadm knows only static members, so the request is built here.
func (s *session) leave(cmd *cobra.Command, group string, members []kadm.DescribedGroupMember, done *outcomes) error {
	request := kmsg.NewPtrLeaveGroupRequest()
	request.Group = group
	for _, m := range members {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID, member.InstanceID = m.MemberID, m.InstanceID
		member.Reason = kmsg.StringPtr("removed by an operator")
		request.Members = append(request.Members, member)
	}
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	response, err := request.RequestWith(ctx, s.client)
	if err != nil {
		return fmt.Errorf("remove members of group %s: %w", group, err)
	}
	if err := kerr.ErrorForCode(response.ErrorCode); err != nil {
		return fmt.Errorf("remove members of group %s: %w", group, err)
	}
	for _, m := range response.Members {
		done.add("member", strings.TrimSpace(m.MemberID), "removed", kerr.ErrorForCode(m.ErrorCode))
	}
	return nil
}
