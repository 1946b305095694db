package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

type clusterHealth struct {
	Healthy bool    `json:"healthy"`
	Checks  []check `json:"checks"`
}

func newClusterHealthCommand(s *session) *cobra.Command {
	var watch, exitWhenHealthy bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check brokers, leaders, replicas and disks; exit code 10 when something is wrong",
		Example: `  millrace cluster health
  millrace cluster health --watch
  millrace cluster health --exit-when-healthy --interval 1s      # in scripts: wait until it is up`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval <= 0 {
				return usagef("--interval must be above 0")
			}
			if exitWhenHealthy {
				return s.awaitHealthy(cmd, interval)
			}
			if watch {
				if _, err := s.resolve(); err != nil {
					return err
				}
				return s.watch(cmd, interval, func(context.Context) error {
					h := s.health(cmd)
					return s.print(cmd, h, checkTable(h.Checks))
				})
			}
			_, cancel, _, err := s.admin(cmd)
			if err != nil {
				return err
			}
			cancel()
			h := s.healthOf(cmd)
			if err := s.print(cmd, h, checkTable(h.Checks)); err != nil {
				return err
			}
			if !h.Healthy {
				return unhealthy()
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again and again until Ctrl-C")
	cmd.Flags().BoolVarP(&exitWhenHealthy, "exit-when-healthy", "e", false, "wait until everything is well, then exit with 0")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "time between two looks")
	return cmd
}

func (s *session) healthOf(cmd *cobra.Command) clusterHealth {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	checks := clusterChecks(ctx, s.settings, s.client)
	return clusterHealth{Healthy: !anyFailed(checks), Checks: checks}
}

// health connects anew: a cluster that does not answer is unhealthy, not an error.
func (s *session) health(cmd *cobra.Command) clusterHealth {
	s.close()
	s.client = nil
	_, cancel, _, err := s.admin(cmd)
	if err != nil {
		return clusterHealth{Checks: []check{{Name: "connection", Status: checkFail, Detail: firstLine(err.Error())}}}
	}
	cancel()
	return s.healthOf(cmd)
}

func (s *session) awaitHealthy(cmd *cobra.Command, interval time.Duration) error {
	if _, err := s.resolve(); err != nil {
		return err
	}
	for {
		h := s.health(cmd)
		if h.Healthy {
			return s.print(cmd, h, checkTable(h.Checks))
		}
		for _, c := range h.Checks {
			if c.Status == checkFail {
				note(cmd, "not healthy yet: %s: %s", c.Name, c.Detail)
			}
		}
		select {
		case <-time.After(interval):
		case <-cmd.Context().Done():
			return unhealthy()
		}
	}
}
