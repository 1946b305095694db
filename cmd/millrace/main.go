package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run executes one command line and returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s := &session{}
	root := newRootCommandFor(s)
	if path, ok := helpJSONRequest(args); ok {
		return report(os.Stderr, printHelpJSON(os.Stdout, root, path))
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil {
		err = s.explain(usageOfFlags(err))
	}
	s.close()
	return report(os.Stderr, err)
}

// usageOfFlags marks cobra's own complaints about missing flags as usage errors.
func usageOfFlags(err error) error {
	if strings.HasPrefix(err.Error(), "required flag(s)") {
		return usagef("%v", err)
	}
	return err
}

// newRootCommand returns the whole tree of verbs.
func newRootCommand() *cobra.Command { return newRootCommandFor(&session{}) }

func newRootCommandFor(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "A streaming broker that speaks the Kafka protocol, and its command line",
		Long: `Millrace is a streaming broker that speaks the Kafka protocol. This one binary is the broker and the command line.
The client verbs work with any cluster that speaks the Kafka protocol.

Where a client verb connects: --brokers > -X brokers=... > MILLRACE_BROKERS > the profile in use > 127.0.0.1:9092.
Exit codes: 0 ok, 1 something failed, 2 usage, 3 denied, 4 not found, 10 unhealthy.`,
		Example: `  millrace dev                                  # a broker on this machine
  millrace topic create orders --partitions 6
  echo hello | millrace produce orders
  millrace consume orders --exit
  millrace group lag
  millrace doctor`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          nounArgs,
		RunE:          showHelp,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v\nRun '%s --help' for the flags", err, cmd.CommandPath())
	})
	s.addFlags(root)
	root.AddGroup(&cobra.Group{ID: "server", Title: "Run a broker:"}, &cobra.Group{ID: "client", Title: "Work with a cluster:"}, &cobra.Group{ID: "local", Title: "This command line:"})
	for group, commands := range map[string][]*cobra.Command{
		"server": {newDevCommand(), newBrokerCommand(), newConfigCommand()},
		"client": {newTopicCommand(s), newProduceCommand(s), newConsumeCommand(s), newGroupCommand(s), newTxnCommand(s), newClusterCommand(s), newDoctorCommand(s)},
		"local":  {newProfileCommand(s), newCompletionCommand(), newVersionCommand(s)},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	root.SetHelpCommandGroupID("local")
	wrapArgErrors(root)
	return root
}

// noun returns a command that only groups verbs, with its plural as a hidden alias.
func noun(name, plural, short, example string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: name, Short: short, Example: example, Args: nounArgs, RunE: showHelp}
	if plural != "" {
		c.Aliases = []string{plural}
	}
	c.AddCommand(verbs...)
	return c
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// nounArgs refuses a word that is no verb of the noun, and names the nearest verbs.
func nounArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	message := "unknown command " + quote(args[0]) + " for " + quote(cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	for _, suggestion := range cmd.SuggestionsFor(args[0]) {
		message += "\nDid you mean '" + cmd.CommandPath() + " " + suggestion + "'?"
	}
	return usagef("%s\nRun '%s --help' for the verbs", message, cmd.CommandPath())
}

// wrapArgErrors makes every complaint about arguments a usage error (exit code 2).
func wrapArgErrors(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil || exitCode(err) == exitUsage {
				return err
			}
			if len(args) == 0 {
				err = errors.New("an argument is missing")
			}
			return usagef("%v\nUsage: %s", err, cmd.UseLine())
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgErrors(c)
	}
}
