package config

import (
	"maps"
	"slices"
	"strconv"
)

// CheckTopic says what is wrong with the overrides of a topic as a whole, nil when nothing is.
func (r *Resolver) CheckTopic(overrides Overrides, topic map[string]string) error {
	if err := checkValues(Topic(), "topic", topic); err != nil {
		return err
	}
	e := r.TopicWith(overrides, topic)
	if low, high := e.Int64("min.compaction.lag.ms"), e.Int64("max.compaction.lag.ms"); low > high {
		return &InvalidValueError{"conflict topic config setting min.compaction.lag.ms (" + strconv.FormatInt(low, 10) +
			") > max.compaction.lag.ms (" + strconv.FormatInt(high, 10) + ")"}
	}
	if e.Bool("remote.storage.enable") && !r.Broker(overrides).Bool("remote.log.storage.system.enable") {
		return &InvalidValueError{"Tiered Storage functionality is disabled in the broker. " +
			"Topic cannot be configured with remote log storage."}
	}
	return nil
}

// CheckBroker says what is wrong with the dynamic settings of a broker, or with those of all brokers.
func (r *Resolver) CheckBroker(values map[string]string, perBroker bool) error {
	var fixed, single []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		d := Broker().Get(name)
		switch {
		case d == nil:
			return &InvalidValueError{"Unknown broker config name: " + name}
		case d.Mode == ReadOnly:
			fixed = append(fixed, name)
		case d.Mode == PerBroker && !perBroker:
			single = append(single, name)
		}
	}
	if len(fixed) > 0 {
		return &InvalidValueError{"Cannot update these configs dynamically: " + javaSet(fixed)}
	}
	if err := checkValues(Broker(), "broker", values); err != nil {
		return err
	}
	if len(single) > 0 {
		return &InvalidValueError{"Cannot update these configs at default cluster level, broker id must be specified: " + javaSet(single)}
	}
	return nil
}

// CheckGroup says what is wrong with the overrides of a group.
func (r *Resolver) CheckGroup(overrides Overrides, group map[string]string) error {
	if err := checkValues(Group(), "group", group); err != nil {
		return err
	}
	e, broker := r.GroupWith(overrides, group), r.Broker(overrides)
	for _, name := range slices.Sorted(maps.Keys(group)) {
		low, high := groupBounds(name)
		value := e.Int64(name)
		if low != "" && value < broker.Int64(low) {
			return &InvalidValueError{name + " must be greater than or equal to " + low}
		}
		if high != "" && value > broker.Int64(high) {
			return &InvalidValueError{name + " must be less than or equal to " + high}
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if e.Int64(session) <= e.Int64(heartbeat) {
			return &InvalidValueError{session + " must be greater than " + heartbeat}
		}
	}
	return nil
}

// groupBounds returns the broker settings that bound a group's setting, "" where there is none.
func groupBounds(name string) (low, high string) {
	for i, c := range name {
		if c == '.' {
			low, high = "group."+name[:i]+".min"+name[i:], "group."+name[:i]+".max"+name[i:]
			break
		}
	}
	if name == "streams.num.standby.replicas" {
		high = "group.streams.max.standby.replicas"
	}
	if Broker().Get(low) == nil {
		low = ""
	}
	if Broker().Get(high) == nil {
		high = ""
	}
	return low, high
}

func checkValues(c *Catalogue, what string, values map[string]string) error {
	names := slices.Sorted(maps.Keys(values))
	for _, name := range names {
		if c.Get(name) == nil {
			return &InvalidValueError{"Unknown " + what + " config name: " + name}
		}
	}
	for _, name := range names {
		if err := c.Get(name).Check(values[name]); err != nil {
			return err
		}
	}
	return nil
}

// javaSet writes names the way a Java set prints itself.
func javaSet(names []string) string {
	s := "["
	for i, name := range names {
		if i > 0 {
			s += ", "
		}
		s += name
	}
	return s + "]"
}
