package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"
)

// newConfigTemplate is what an editor shows when there is no file yet.
const newConfigTemplate = `# Settings of millrace. Keys: millrace profile keys
current: local
profiles:
  local:
    brokers: 127.0.0.1:9092
`

func newProfileEditCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "edit",
		Short:   "Open the file with the profiles in $EDITOR; what does not validate is not saved",
		Example: "  EDITOR=nano millrace profile edit",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			path, err := configPath(s.configFlag)
			if err != nil {
				return err
			}
			before, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				before, err = []byte(newConfigTemplate), nil
			}
			if err != nil {
				return fmt.Errorf("read configuration: %w", err)
			}
			draft, err := editCopy(cmd, before)
			if err != nil {
				return err
			}
			after, err := os.ReadFile(draft)
			if err != nil {
				return fmt.Errorf("read what was edited: %w", err)
			}
			if _, err := parseConfigFile(after); err != nil {
				return usagef("%v\nNothing was saved; what you wrote is kept in %s", err, draft)
			}
			if err := os.Remove(draft); err != nil {
				return fmt.Errorf("remove the copy: %w", err)
			}
			return replaceFile(path, after)
		},
	}
}

// editCopy lets the user edit a copy and returns its name.
func editCopy(cmd *cobra.Command, data []byte) (string, error) {
	dir, err := os.MkdirTemp("", "millrace-edit-")
	if err != nil {
		return "", fmt.Errorf("create a copy to edit: %w", err)
	}
	draft := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(draft, data, 0o600); err != nil {
		return "", fmt.Errorf("create a copy to edit: %w", err)
	}
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	edit := exec.CommandContext(cmd.Context(), "sh", "-c", editor+` "$1"`, "sh", draft)
	if runtime.GOOS == "windows" {
		edit = exec.CommandContext(cmd.Context(), editor, draft)
	}
	edit.Stdin, edit.Stdout, edit.Stderr = os.Stdin, os.Stderr, os.Stderr
	if err := edit.Run(); err != nil {
		return "", fmt.Errorf("run the editor %s: %w", quote(editor), err)
	}
	return draft, nil
}
