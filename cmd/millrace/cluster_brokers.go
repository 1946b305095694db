package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

type listedBroker struct {
	ID         int32   `json:"id"`
	Host       string  `json:"host"`
	Port       int32   `json:"port"`
	Rack       *string `json:"rack"`
	Controller bool    `json:"controller"`
	Status     string  `json:"status"` // ok, fenced or draining
	Leaders    int     `json:"leader_partitions"`
	Replicas   int     `json:"replicas"`
}

func newClusterBrokersCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:     "brokers",
		Aliases: []string{"broker"},
		Short:   "List the brokers and what they advertise",
		Example: "  millrace cluster brokers\n  millrace cluster brokers --format wide",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel, admin, err := s.admin(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			meta, err := admin.Metadata(ctx)
			if err != nil {
				return fmt.Errorf("ask for metadata: %w", err)
			}
			list := withStatus(ctx, s, admin, listBrokers(meta))
			return s.print(cmd, list, brokerTable(list))
		},
	}
}

func listBrokers(meta kadm.Metadata) []listedBroker {
	list := []listedBroker{}
	for _, b := range meta.Brokers {
		broker := listedBroker{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: b.Rack, Controller: b.NodeID == meta.Controller, Status: "ok"}
		meta.Topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Leader == b.NodeID {
				broker.Leaders++
			}
			if slices.Contains(p.Replicas, b.NodeID) {
				broker.Replicas++
			}
		})
		list = append(list, broker)
	}
	return list
}

// withStatus adds what the cluster says of each broker, and the fenced brokers, which metadata does not name.
func withStatus(ctx context.Context, s *session, admin *kadm.Client, list []listedBroker) []listedBroker {
	known, _, err := members(ctx, s.client)
	if err != nil {
		return list // an older cluster does not tell
	}
	for _, m := range known {
		i := slices.IndexFunc(list, func(b listedBroker) bool { return b.ID == m.id })
		if i < 0 {
			i = len(list)
			list = append(list, listedBroker{ID: m.id, Host: "-"})
		}
		switch {
		case m.fenced:
			list[i].Status = "fenced"
		case brokerSettings(ctx, admin, m.id)[drainSetting] == "true":
			list[i].Status = "draining"
		}
	}
	return list
}

func brokerTable(list []listedBroker) *table {
	t := newTable("BROKER", "ADDRESS", "RACK", "CONTROLLER", "STATUS", "+LEADERS", "+REPLICAS")
	for _, b := range list {
		rack := "-"
		if b.Rack != nil {
			rack = *b.Rack
		}
		t.row(b.ID, fmt.Sprintf("%s:%d", b.Host, b.Port), rack, b.Controller, b.Status, b.Leaders, b.Replicas)
	}
	return t
}
