package main

import (
	"fmt"
	"strings"

	"github.com/millrace-io/millrace/broker"
)

// clusterSettings say how the node finds the other nodes of its cluster.
func clusterSettings() []nodeSetting {
	return []nodeSetting{
		textSetting("cluster.address", "host:port", "", "Where this node listens for the other nodes of its cluster. Empty: the node is alone. Must be loopback unless a token is set.",
			func(c *nodeConfig) *string { return &c.Cluster.Address }),
		textSetting("cluster.advertised", "host:port", "", "Address at which other nodes dial this one. Empty: cluster.address.",
			func(c *nodeConfig) *string { return &c.Cluster.Advertised }),
		{
			path: "cluster.initial_voters", value: "list of id@host:port",
			help: "The first voters of a new cluster, 1, 3 or 5 of them, the same on every node. Looked at only until the node is a member.",
			set: func(c *nodeConfig, v string) (err error) {
				c.Cluster.InitialVoters, err = broker.ParseVoters(v)
				return err
			},
			get: func(c *nodeConfig) string {
				items := make([]string, len(c.Cluster.InitialVoters))
				for i, v := range c.Cluster.InitialVoters {
					items[i] = fmt.Sprintf("%d@%s", v.NodeID, v.Address)
				}
				return strings.Join(items, ",")
			},
		},
		{
			path: "cluster.join", value: "list of host:port",
			help: "Instead of cluster.initial_voters, for a node that comes later: inter-broker addresses of the cluster that is there.",
			set:  func(c *nodeConfig, v string) error { c.Cluster.Join = broker.ParseList(v); return nil },
			get:  func(c *nodeConfig) string { return strings.Join(c.Cluster.Join, ",") },
		},
		secretSetting(textSetting("cluster.token", "string", "", "Secret that all nodes of the cluster share; a connection without it is refused.",
			func(c *nodeConfig) *string { return &c.Cluster.Token })),
		textSetting("cluster.token_file", "path", "", "File that holds cluster.token, instead of it.",
			func(c *nodeConfig) *string { return &c.Cluster.TokenFile }),
	}
}

// secretSetting keeps a setting's value out of what is printed.
func secretSetting(s nodeSetting) nodeSetting {
	s.secret = true
	return s
}
