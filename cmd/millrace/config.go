package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace-io/millrace/metadata/config"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at and check a node's configuration",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newConfigPrintCommand(), newConfigKeysCommand(), newConfigValidateCommand())
	return cmd
}

// settingRow is one line of `config print` and `config keys`.
type settingRow struct {
	Key     string `json:"key" yaml:"key"`
	Value   string `json:"value" yaml:"value"`
	Origin  string `json:"origin,omitempty" yaml:"origin,omitempty"`
	Default string `json:"default,omitempty" yaml:"default,omitempty"`
	Help    string `json:"help,omitempty" yaml:"help,omitempty"`
}

func newConfigPrintCommand() *cobra.Command {
	var file string
	var set []string
	var all bool
	cmd := &cobra.Command{
		Use:     "print",
		Short:   "Show the effective values and where each comes from",
		Example: "  millrace config print -c millrace.yaml\n  millrace config print -c millrace.yaml --all   # with every broker setting's default",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadNodeConfig(file, set)
			if err != nil {
				return usagef("%v", err)
			}
			var rows []settingRow
			for _, s := range nodeSettings() {
				rows = append(rows, settingRow{Key: s.path, Value: s.shown(cfg), Origin: cfg.origins[s.path]})
			}
			for _, name := range slices.Sorted(maps.Keys(cfg.Static)) {
				rows = append(rows, settingRow{Key: name, Value: cfg.Static[name], Origin: cfg.origins[name]})
			}
			if all {
				for d := range config.Broker().All() {
					if _, given := cfg.Static[d.Name]; !given {
						rows = append(rows, settingRow{Key: d.Name, Value: d.Default, Origin: "default"})
					}
				}
			}
			return printSettings(cmd, rows, []string{"KEY", "VALUE", "ORIGIN"}, func(r settingRow) []any { return []any{r.Key, r.Value, r.Origin} })
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (millrace.yaml); none: the defaults")
	cmd.Flags().StringArrayVar(&set, "set", nil, "KEY=VALUE, repeatable: overrides the file")
	cmd.Flags().BoolVar(&all, "all", false, "also show broker settings that have their default")
	return cmd
}

func newConfigKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "keys [TEXT]",
		Short:   "List every setting that a configuration file may hold",
		Example: "  millrace config keys\n  millrace config keys retention",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			contains := strings.ToLower(strings.Join(args, ""))
			var rows []settingRow
			add := func(r settingRow) {
				if strings.Contains(strings.ToLower(r.Key+" "+r.Help), contains) {
					rows = append(rows, r)
				}
			}
			for _, s := range nodeSettings() {
				add(settingRow{Key: s.path, Value: s.value, Default: s.fallback, Help: s.help})
			}
			for d := range config.Broker().All() {
				add(settingRow{Key: d.Name, Value: strings.ToLower(d.Type.String()), Default: d.Default, Help: d.Documentation})
			}
			return printSettings(cmd, rows, []string{"KEY", "TYPE", "DEFAULT", "WHAT"}, func(r settingRow) []any { return []any{r.Key, r.Value, r.Default, r.Help} })
		},
	}
}

func newConfigValidateCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:     "validate -c millrace.yaml",
		Short:   "Check a configuration file and report every fault in it",
		Example: "  millrace config validate -c millrace.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := loadNodeConfig(file, nil); err != nil {
				return usagef("%v", err)
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: no faults found\n", file)
			return nil
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (millrace.yaml)")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func printSettings(cmd *cobra.Command, rows []settingRow, header []string, cells func(settingRow) []any) error {
	t := newTable(header...)
	for _, r := range rows {
		t.row(cells(r)...)
	}
	format, _ := cmd.Flags().GetString("format")
	return writeFormatted(cmd.OutOrStdout(), format, rows, t)
}
