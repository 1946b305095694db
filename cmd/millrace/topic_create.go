package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

func newTopicCreateCommand(s *session) *cobra.Command {
	var partitions int32
	var replicas int16
	var configs []string
	var ifNotExists, dryRun bool
	cmd := &cobra.Command{
		Use:   "create TOPIC...",
		Short: "Create topics",
		Example: `  millrace topic create orders
  millrace topic create orders --partitions 6 --replicas 3 --config cleanup.policy=compact
  millrace topic create orders --if-not-exists
  millrace topic create orders --config retention.ms=forever --dry-run    # the broker checks, nothing is created`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			pairs, err := parsePairs("--config", configs)
			if err != nil {
				return err
			}
			values := map[string]*string{}
			for _, p := range pairs {
				values[p[0]] = &p[1]
			}
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			create, status := admin.CreateTopics, "created"
			if dryRun {
				create, status = admin.ValidateCreateTopics, "would be created"
			}
			responses, err := create(ctx, partitions, replicas, values, args...)
			if err != nil {
				return fmt.Errorf("create topics: %w", err)
			}
			var done outcomes
			for _, name := range args {
				r, ok := responses[name]
				if !ok {
					r.Err = errors.New("the broker's answer does not mention it")
				}
				if ifNotExists && errors.Is(r.Err, kerr.TopicAlreadyExists) {
					done.add("topic", name, "exists", nil)
					continue
				}
				done.add("topic", name, status, createTrouble(name, r))
			}
			return done.print(s, cmd, "TOPIC")
		},
	}
	f := cmd.Flags()
	f.Int32VarP(&partitions, "partitions", "p", -1, "number of partitions (default: the broker's num.partitions)")
	f.Int16VarP(&replicas, "replicas", "r", -1, "number of replicas (default: the broker's default.replication.factor)")
	f.StringArrayVarP(&configs, "config", "c", nil, "topic configuration as key=value, repeatable")
	f.BoolVar(&ifNotExists, "if-not-exists", false, "a topic that exists is no failure")
	f.BoolVar(&dryRun, "dry-run", false, "let the broker check the request, create nothing")
	return cmd
}

func createTrouble(name string, r kadm.CreateTopicResponse) error {
	if errors.Is(r.Err, kerr.TopicAlreadyExists) {
		return &failure{code: exitFailed, cause: r.Err, message: fmt.Sprintf("it exists already\nSee it: millrace topic describe %s    Accept it: --if-not-exists", name)}
	}
	return brokerError(r.Err, r.ErrMessage)
}
