package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// enforceCopartitions sees to it that topics which are joined have the same number of partitions: those that the
// application makes are given the number of the others.
//
// Kafka 4.3 holds repartition topics with a number of their own against all such topics of the application; here it is those
// of the same group.
func (c *configurator) enforceCopartitions() error {
	fixed, repartition := map[string]bool{}, map[string]bool{}
	for _, sub := range c.t.Subtopologies {
		for _, topic := range sub.RepartitionSources {
			repartition[topic.Name] = true
			if topic.Partitions != 0 {
				fixed[topic.Name] = true
			}
		}
	}
	for i := range c.t.Subtopologies {
		sub := &c.t.Subtopologies[i]
		for _, group := range sub.Copartitions {
			if err := c.enforce(sub.names(group), fixed, repartition); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *configurator) enforce(names []string, fixed, repartition map[string]bool) error {
	own, others, chosen := map[string]int32{}, map[string]int32{}, map[string]int32{}
	for _, name := range names {
		n, ok := c.partitions(name)
		if !ok {
			return invalid("Number of partitions is not set for topic: %s", name)
		}
		switch {
		case !repartition[name]:
			others[name] = n
		case fixed[name]:
			chosen[name] = n
			fallthrough
		default:
			own[name] = n
		}
	}
	n, err := agreed(own, others, chosen)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if fixed[name] && own[name] != n {
			return &Problem{IncorrectlyPartitioned, fmt.Sprintf(
				"Number of partitions [%d] of repartition topic [%s] doesn't match number of partitions [%d] of the source topic.", own[name], name, n)}
		}
		c.decided[name] = n
	}
	return nil
}

// agreed is the number of partitions for a group: that of the topics which are not the application's, else the one that was
// chosen, else the greatest.
func agreed(own, others, chosen map[string]int32) (int32, error) {
	switch {
	case len(others) > 0:
		return same(others, others)
	case len(chosen) > 0:
		return same(chosen, own)
	case len(own) == 0:
		return 0, nil
	}
	return slices.Max(slices.Collect(maps.Values(own))), nil
}

// same is the number that all have; what is told otherwise names those of shown.
func same(counts, shown map[string]int32) (int32, error) {
	var n int32
	for _, count := range counts {
		if n != 0 && count != n {
			return 0, &Problem{IncorrectlyPartitioned, "Following topics do not have the same number of partitions: [" + javaMap(shown) + "]"}
		}
		n = count
	}
	return n, nil
}

// javaMap writes counts the way a sorted Java map prints itself.
func javaMap(counts map[string]int32) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s=%d", name, counts[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
