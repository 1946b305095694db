package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// imported is one profile made from another tool's configuration.
type imported struct {
	name     string
	settings map[string]string
	current  bool
	skipped  []string // keys that have no counterpart here
}

func newProfileImportCommand(s *session) *cobra.Command {
	var name string
	var force bool
	kinds := []string{"rpk", "kcat", "java.properties"}
	cmd := &cobra.Command{
		Use:   "import rpk|kcat|java.properties [FILE]",
		Short: "Make profiles from the configuration of rpk, kcat or a Java client",
		Long: `Make profiles from the configuration of another tool. Without FILE the tool's usual place is read:
~/.config/rpk/rpk.yaml, ~/.config/kcat.conf. What has no counterpart is named and left out.`,
		Example: `  millrace profile import rpk
  millrace profile import kcat ~/.config/kcat.conf --name staging
  millrace profile import java.properties client.properties --name prod`,
		Args: cobra.RangeArgs(1, 2),
		ValidArgsFunction: func(_ *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return matching(kinds, nil, toComplete), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if !contains(kinds, args[0]) {
				return unknownImport(args[0])
			}
			path, err := importPath(args)
			if err != nil {
				return err
			}
			data, err := os.ReadFile(path)
			if err != nil {
				return notFoundf("read what to import: %v", err)
			}
			profiles, err := importProfiles(args[0], data)
			if err != nil {
				return usagef("%s: %v", path, err)
			}
			if name != "" {
				if len(profiles) != 1 {
					return usagef("--name: %s holds %s", path, plural(len(profiles), "profile"))
				}
				profiles[0].name = name
			}
			return s.saveImported(cmd, profiles, force)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the new profile (default: as in rpk, else the kind)")
	cmd.Flags().BoolVar(&force, "force", false, "replace profiles of the same name")
	return cmd
}

func importPath(args []string) (string, error) {
	if len(args) == 2 {
		return args[1], nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the home directory: %w", err)
	}
	switch args[0] {
	case "rpk":
		return filepath.Join(home, ".config", "rpk", "rpk.yaml"), nil
	case "kcat":
		return filepath.Join(home, ".config", "kcat.conf"), nil
	case "java.properties":
		return "", usagef("name the file: millrace profile import java.properties FILE")
	}
	return "", unknownImport(args[0])
}

func unknownImport(kind string) error {
	return usagef("%s: want rpk, kcat or java.properties", quote(kind))
}

func importProfiles(kind string, data []byte) ([]imported, error) {
	switch kind {
	case "rpk":
		return importRpk(data)
	case "kcat":
		return importKcat(data), nil
	case "java.properties":
		return importJava(data), nil
	}
	return nil, unknownImport(kind)
}

func (s *session) saveImported(cmd *cobra.Command, profiles []imported, force bool) error {
	file, err := s.configFile()
	if err != nil {
		return err
	}
	for _, p := range profiles {
		if _, exists := file.Profiles[p.name]; exists && !force {
			return &failure{code: exitFailed, message: fmt.Sprintf("profile %s exists already in %s\nReplace it: --force    Another name: --name NAME", quote(p.name), file.path)}
		}
		for key, value := range p.settings {
			if err := checkSetting(key, value); err != nil {
				note(cmd, "profile %s: %v", p.name, err)
			}
		}
		file.Profiles[p.name] = p.settings
		if p.current || file.Current == "" {
			file.Current = p.name
		}
		slices.Sort(p.skipped)
		if len(p.skipped) > 0 {
			note(cmd, "profile %s: left out, no counterpart: %s", p.name, strings.Join(p.skipped, ", "))
		}
	}
	if err := file.save(); err != nil {
		return err
	}
	for _, p := range profiles {
		note(cmd, "imported profile %s into %s", p.name, file.path)
	}
	return nil
}
