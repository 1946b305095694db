package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/millrace-io/millrace/broker"
)

func newBrokerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "broker",
		Short: "Run a server process",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newBrokerStartCommand())
	return cmd
}

func newBrokerStartCommand() *cobra.Command {
	var file string
	var set []string
	cmd := &cobra.Command{
		Use:   "start -c millrace.yaml",
		Short: "Start the node that a configuration file describes",
		Long: `Starts one node and runs it until SIGTERM or Ctrl-C, which drain and close it cleanly. A second start after a crash
recovers. Logs go to standard error. Under systemd (Type=notify) it says when it is ready.`,
		Example: `  millrace broker start -c /etc/millrace/millrace.yaml
  millrace broker start -c millrace.yaml --set logging.level=debug`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadNodeConfig(file, set)
			if err != nil {
				return usagef("%v", err)
			}
			ctx := cmd.Context() // ends with SIGTERM or Ctrl-C
			logger := cfg.logger(cmd.ErrOrStderr())
			b, err := broker.New(cfg.Config, logger)
			if err != nil {
				return err
			}
			if err := b.Start(ctx); err != nil {
				return err
			}
			if err := notifyReady(); err != nil {
				logger.Warn("nobody was told that the node is ready", "error", err)
			}
			err = b.Wait(ctx)
			_ = notifyStopping() // whoever does not hear it sees the end
			return errors.Join(err, b.Close())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (millrace.yaml)")
	cmd.Flags().StringArrayVar(&set, "set", nil, "KEY=VALUE, repeatable: overrides the file")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

// loadNodeConfig reads a file and the overrides on top of it, and checks the whole.
func loadNodeConfig(file string, set []string) (*nodeConfig, error) {
	cfg := newNodeConfig()
	if file != "" {
		if err := cfg.readFile(file); err != nil {
			return nil, err
		}
	}
	if err := cfg.setAssignments(set); err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}
