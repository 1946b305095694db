package config

import (
	"slices"
	"sync"
)

// Topic returns the settings of topics.
func Topic() *Catalogue { return topicCatalogue() }

// Broker returns the settings of brokers.
func Broker() *Catalogue { return brokerCatalogue() }

// Group returns the settings of groups.
func Group() *Catalogue { return groupCatalogue() }

// The catalogues are made once and never change.
var (
	topicCatalogue  = sync.OnceValue(func() *Catalogue { return newCatalogue(topicDefinitions()) })
	groupCatalogue  = sync.OnceValue(func() *Catalogue { return newCatalogue(groupDefinitions()) })
	brokerCatalogue = sync.OnceValue(func() *Catalogue {
		return newCatalogue(slices.Concat(logDefinitions(), tieredDefinitions(), networkDefinitions(), replicationDefinitions(), placementDefinitions(),
			groupsDefinitions(), transactionsDefinitions(), quorumDefinitions(), securityDefinitions(), processDefinitions()))
	})
)

// Of returns the settings that a type of resource has, nil for a type that has none.
func Of(t ResourceType) *Catalogue {
	switch t {
	case TopicResource:
		return Topic()
	case BrokerResource:
		return Broker()
	case GroupResource:
		return Group()
	}
	return nil
}

// brokerSynonyms returns the broker settings that can give the named one its value, the first that is set counting.
func brokerSynonyms(name string) []string {
	switch name {
	case "log.roll.ms":
		return []string{"log.roll.ms", "log.roll.hours"}
	case "log.roll.jitter.ms":
		return []string{"log.roll.jitter.ms", "log.roll.jitter.hours"}
	case "log.flush.interval.ms":
		return []string{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"}
	case "log.retention.ms":
		return []string{"log.retention.ms", "log.retention.minutes", "log.retention.hours"}
	case "log.retention.minutes":
		return []string{"log.retention.minutes", "log.retention.hours"}
	}
	return []string{name}
}

// millisPerUnit returns what a value of the setting is multiplied by to be in the unit of the topic setting it stands for.
func millisPerUnit(name string) int64 {
	switch name {
	case "log.roll.hours", "log.roll.jitter.hours", "log.retention.hours":
		return 60 * 60 * 1000
	case "log.retention.minutes":
		return 60 * 1000
	}
	return 1
}
