package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commandHelp is one command for programs that want to know what there is.
type commandHelp struct {
	Command  string        `json:"command"`
	Usage    string        `json:"usage"`
	Short    string        `json:"short"`
	Long     string        `json:"long,omitempty"`
	Example  string        `json:"example,omitempty"`
	Aliases  []string      `json:"aliases,omitempty"`
	Flags    []flagHelp    `json:"flags,omitempty"`
	Commands []commandHelp `json:"commands,omitempty"`
}

type flagHelp struct {
	Name      string `json:"name"`
	Shorthand string `json:"shorthand,omitempty"`
	Type      string `json:"type"`
	Default   string `json:"default,omitempty"`
	Usage     string `json:"usage"`
}

// helpJSONRequest finds --help-json anywhere before --, and the words in front of it that name the command.
func helpJSONRequest(args []string) (path []string, ok bool) {
	for _, a := range args {
		if a == "--" {
			break
		}
		if a == "--help-json" {
			ok = true
		} else if !strings.HasPrefix(a, "-") {
			path = append(path, a)
		}
	}
	return path, ok
}

func printHelpJSON(w io.Writer, root *cobra.Command, path []string) error {
	cmd, rest, err := root.Find(path)
	if err != nil {
		return usagef("%v", err)
	}
	if cmd.HasSubCommands() && len(rest) > 0 {
		return nounArgs(cmd, rest)
	}
	return writeJSON(w, describeCommand(cmd), "  ")
}

func describeCommand(cmd *cobra.Command) commandHelp {
	h := commandHelp{Command: cmd.CommandPath(), Usage: cmd.UseLine(), Short: cmd.Short, Long: cmd.Long, Example: cmd.Example, Aliases: cmd.Aliases}
	flags := cmd.NonInheritedFlags()
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			h.Flags = append(h.Flags, flagHelp{f.Name, f.Shorthand, f.Value.Type(), f.DefValue, f.Usage})
		}
	})
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			h.Commands = append(h.Commands, describeCommand(c))
		}
	}
	return h
}
