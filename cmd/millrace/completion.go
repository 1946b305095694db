package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print the completion script for a shell",
		Long:  "Print the completion script for a shell. It completes verbs and flags, and the names of topics, groups and profiles from the live cluster.",
		Example: `  source <(millrace completion bash)
  millrace completion zsh > "${fpath[1]}/_millrace"
  millrace completion fish > ~/.config/fish/completions/millrace.fish
  millrace completion powershell | Out-String | Invoke-Expression`,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(out)
			case "fish":
				return cmd.Root().GenFishCompletion(out, true)
			}
			return cmd.Root().GenPowerShellCompletionWithDesc(out)
		},
	}
}

// completionBudget is how long a person at the tab key waits at most; after that there is no suggestion.
const completionBudget = 500 * time.Millisecond

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

// completeNames offers what list returns within the budget; errors offer nothing.
func (s *session) completeNames(list func(context.Context, *kadm.Client) ([]string, error)) completer {
	return func(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(context.Background(), completionBudget)
		defer cancel()
		s.overrides = append(s.overrides, "timeout="+completionBudget.String())
		cfg, err := s.resolve()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		opts, err := clientOptions(ctx, cfg)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		admin, err := kadm.NewOptClient(opts...)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer admin.Close()
		names, err := list(ctx, admin)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return matching(names, args, toComplete), cobra.ShellCompDirectiveNoFileComp
	}
}

func (s *session) completeTopics() completer {
	return s.completeNames(func(ctx context.Context, admin *kadm.Client) ([]string, error) {
		topics, err := admin.ListTopics(ctx)
		return topics.Names(), err
	})
}

func (s *session) completeGroups() completer {
	return s.completeNames(func(ctx context.Context, admin *kadm.Client) ([]string, error) {
		groups, err := admin.ListGroups(ctx)
		return groups.Groups(), err
	})
}

// completeFirst completes only the first word.
func completeFirst(c completer) completer {
	return func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c(cmd, args, toComplete)
	}
}

func (s *session) completeProfiles(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	path, err := configPath(s.configFlag)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if _, err := os.Stat(path); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	file, err := loadConfigFile(path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return matching(file.names(), args, toComplete), cobra.ShellCompDirectiveNoFileComp
}

func completeSettings(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	for _, d := range settingKeys() {
		keys = append(keys, d.Key+"=")
	}
	return matching(keys, nil, toComplete), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// matching keeps the names that go on from what is typed and were not given yet.
func matching(names, given []string, toComplete string) []string {
	var out []string
	for _, name := range names {
		if strings.HasPrefix(name, toComplete) && !contains(given, name) {
			out = append(out, name)
		}
	}
	return out
}
