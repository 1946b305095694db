package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"
)

func newProfileValidateCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check the file with the profiles: unknown keys, bad values, a current profile that is missing",
		Example: `  millrace profile validate
  millrace profile validate ./team-config.yaml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := configPath(s.configFlag)
			if err != nil {
				return err
			}
			if len(args) > 0 {
				path = args[0]
			}
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				return notFoundf("%s does not exist\nCreate it: millrace profile create NAME", path)
			}
			file, err := loadConfigFile(path)
			if err != nil {
				return err
			}
			if file.Current != "" {
				if _, err := file.profileNamed(file.Current); err != nil {
					return usagef("%s: current: %v", path, err)
				}
			}
			note(cmd, "%s is valid: %s", path, plural(len(file.Profiles), "profile"))
			return nil
		},
	}
}
