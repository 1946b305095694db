package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// configChanges are the flags that change configuration, of topics and of brokers.
type configChanges struct {
	set, remove, appendTo, subtract []string
	dryRun                          bool
}

func (c *configChanges) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&c.set, "set", "s", nil, "set key=value, repeatable")
	f.StringArrayVarP(&c.remove, "delete", "d", nil, "remove the override of key: the default counts again, repeatable")
	f.StringArrayVar(&c.appendTo, "append", nil, "append to a list: key=value, repeatable")
	f.StringArrayVar(&c.subtract, "subtract", nil, "take out of a list: key=value, repeatable")
	f.BoolVar(&c.dryRun, "dry-run", false, "let the broker check the request, change nothing")
}

// operations turns the flags into incremental changes; nothing that is not named is touched.
func (c *configChanges) operations() ([]kadm.AlterConfig, error) {
	var out []kadm.AlterConfig
	for _, kind := range []struct {
		flag  string
		op    kadm.IncrementalOp
		pairs []string
	}{{"--set", kadm.SetConfig, c.set}, {"--append", kadm.AppendConfig, c.appendTo}, {"--subtract", kadm.SubtractConfig, c.subtract}} {
		pairs, err := parsePairs(kind.flag, kind.pairs)
		if err != nil {
			return nil, err
		}
		for _, p := range pairs {
			out = append(out, kadm.AlterConfig{Op: kind.op, Name: p[0], Value: &p[1]})
		}
	}
	for _, key := range c.remove {
		out = append(out, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: key})
	}
	if len(out) == 0 {
		return nil, usagef("nothing to change: give --set, --delete, --append or --subtract")
	}
	return out, nil
}

func newTopicAlterCommand(s *session) *cobra.Command {
	var changes configChanges
	cmd := &cobra.Command{
		Use:   "alter TOPIC...",
		Short: "Change the configuration of topics",
		Example: `  millrace topic alter orders --set retention.ms=86400000 --set max.message.bytes=2097152
  millrace topic alter orders --delete retention.ms
  millrace topic alter orders --append cleanup.policy=compact
  millrace topic alter orders --set write.caching=true --dry-run`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			operations, err := changes.operations()
			if err != nil {
				return err
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			alter, status := admin.AlterTopicConfigs, "altered"
			if changes.dryRun {
				alter, status = admin.ValidateAlterTopicConfigs, "would be altered"
			}
			responses, err := confirmed(ctx, func() (kadm.AlterConfigsResponses, error) { return alter(ctx, operations, args...) })
			if err != nil && len(responses) == 0 {
				return fmt.Errorf("alter topics: %w", err)
			}
			var done outcomes
			for _, name := range args {
				r := kadm.AlterConfigsResponse{Err: err}
				if i := slices.IndexFunc(responses, func(r kadm.AlterConfigsResponse) bool { return r.Name == name }); i >= 0 {
					r = responses[i]
				}
				done.add("topic", name, status, brokerError(r.Err, r.ErrMessage))
			}
			return done.print(s, cmd, "TOPIC")
		},
	}
	changes.addFlags(cmd)
	return cmd
}
