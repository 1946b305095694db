package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newGroupDeleteCommand(s *session) *cobra.Command {
	var yes, dryRun bool
	cmd := &cobra.Command{
		Use:     "delete GROUP...",
		Aliases: []string{"rm"},
		Short:   "Delete groups with their committed offsets",
		Example: `  millrace group delete billing
  millrace group delete old-1 old-2 --yes`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeGroups(),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			found, missing, err := s.groupLags(ctx, admin, args...)
			cancel()
			if err != nil {
				return err
			}
			var done outcomes
			done.absorb("group", missing)
			var names []string
			for _, g := range found {
				if err := refuseActive(g, "deleted"); err != nil {
					done.add("group", g.Group, "", err)
					continue
				}
				names = append(names, g.Group)
				if dryRun {
					done.add("group", g.Group, "would be deleted", nil)
				}
			}
			if dryRun || len(names) == 0 {
				return done.print(s, cmd, "GROUP")
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Delete %s with the offsets: %s?", plural(len(names), "group"), strings.Join(names, ", "))); err != nil {
				return err
			}
			ctx, cancel = s.deadline(cmd)
			defer cancel()
			responses, err := admin.DeleteGroups(ctx, names...)
			if err != nil && len(responses) == 0 {
				return fmt.Errorf("delete groups: %w", err)
			}
			for _, name := range names {
				r, ok := responses[name]
				if !ok {
					r.Err = fmt.Errorf("no answer: %w", err)
				}
				done.add("group", name, "deleted", brokerError(r.Err, r.ErrMessage))
			}
			return done.print(s, cmd, "GROUP")
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show what would be deleted, delete nothing")
	return cmd
}
