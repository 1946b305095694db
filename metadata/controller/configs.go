package controller

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

const maxConfigValueBytes = 32767

// AlterConfigs plans changes of settings, incremental ones and replacements (ConfigurationControlManager, and the checks
// of ConfigAdminManager before it). Each resource stands for itself.
func (c *Controller) AlterConfigs(img *image.Image, changes []ConfigChange) ([]error, command.Group) {
	errs := make([]error, len(changes))
	count := map[config.Resource]int{}
	for _, change := range changes {
		count[change.Resource]++
	}
	var group command.Group
	for i, change := range changes {
		if count[change.Resource] > 1 {
			errs[i] = refused(kerr.InvalidRequest, "Each resource must appear at most once.")
			continue
		}
		planned, err := c.planConfig(img, change)
		if err != nil {
			errs[i] = err
		} else if len(planned.Values) > 0 {
			group = append(group, planned)
		}
	}
	return errs, c.withElections(img, group)
}

func (c *Controller) planConfig(img *image.Image, change ConfigChange) (planned command.SetConfig, err error) {
	if err := checkOps(change.Ops); err != nil {
		return planned, err
	}
	if err := checkResource(change.Resource); err != nil {
		return planned, err
	}
	before := img.ConfigOverrides(change.Resource)
	if err := checkMinISR(change.Resource, before, change.Ops); err != nil {
		return planned, err
	}
	after, err := c.applyOps(change, before)
	if err != nil {
		return planned, err
	}
	if err := c.checkOverrides(img, change.Resource, after); err != nil {
		return planned, err
	}
	if err := checkExists(img, change.Resource); err != nil {
		return planned, err
	}
	return command.SetConfig{Resource: change.Resource, Values: difference(before, after)}, nil
}

func checkOps(ops []ConfigOp) error {
	seen := make(map[string]bool, len(ops))
	var null []string
	for _, op := range ops {
		if seen[op.Name] {
			return refused(kerr.InvalidRequest, "Error due to duplicate config keys")
		}
		seen[op.Name] = true
		if op.Op != OpDelete && op.Value == nil {
			null = append(null, op.Name)
		}
	}
	if len(null) > 0 {
		return refused(kerr.InvalidRequest, "Null value not supported for : "+strings.Join(null, ", "))
	}
	return nil
}

func checkResource(r config.Resource) error {
	switch r.Type {
	case config.TopicResource:
		if r.Name == "" {
			return refused(kerr.InvalidRequest, "Default topic resources are not allowed.")
		}
		return CheckTopicName(r.Name)
	case config.BrokerResource:
		return checkBrokerName(r.Name)
	case config.GroupResource:
		if r.Name == "" {
			return refused(kerr.InvalidRequest, "Default group resources are not allowed.")
		}
		return nil
	}
	return refused(kerr.InvalidRequest, fmt.Sprintf("Unknown resource type %d", r.Type))
}

func checkBrokerName(name string) error {
	if name == "" {
		return nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return refused(kerr.InvalidRequest, "Unable to parse broker name as a base 10 number.")
	}
	if id < 0 {
		return refused(kerr.InvalidRequest, "Invalid negative broker ID.")
	}
	return nil
}

func checkExists(img *image.Image, r config.Resource) error {
	switch r.Type {
	case config.TopicResource:
		if img.Topic(r.TenantOrDefault(), r.Name) == nil {
			return refused(kerr.UnknownTopicOrPartition, "The topic '"+r.Name+"' does not exist.")
		}
	case config.BrokerResource:
		if id, err := strconv.ParseInt(r.Name, 10, 32); err == nil && img.Broker(int32(id)) == nil {
			return refused(kerr.BrokerIDNotRegistered, "No broker with id "+r.Name+" found.")
		}
	}
	return nil
}

// applyOps returns the overrides that the change leaves.
func (c *Controller) applyOps(change ConfigChange, before map[string]string) (map[string]string, error) {
	after := map[string]string{}
	if !change.Replace {
		maps.Copy(after, before)
	}
	for _, op := range change.Ops {
		switch op.Op {
		case OpSet:
			after[op.Name] = *op.Value
		case OpDelete:
			delete(after, op.Name)
		case OpAppend, OpSubtract:
			value, err := editList(change.Resource.Type, op, after)
			if err != nil {
				return nil, err
			}
			after[op.Name] = value
		default:
			return nil, refused(kerr.InvalidRequest, fmt.Sprintf("Unknown operations type %d", op.Op))
		}
	}
	return after, checkValueSizes(after)
}

// editList adds items to a list or takes them out; an unset list begins as its default.
func editList(t config.ResourceType, op ConfigOp, values map[string]string) (string, error) {
	d := config.Of(t).Get(op.Name)
	if d == nil || d.Type != config.List {
		verb := map[OpType]string{OpAppend: "APPEND", OpSubtract: "SUBTRACT"}[op.Op]
		return "", refused(kerr.InvalidConfig, "Can't "+verb+" to key "+op.Name+" because its type is not LIST.")
	}
	value, ok := values[op.Name]
	if !ok {
		value = d.Default
	}
	items := slices.DeleteFunc(strings.Split(value, ","), func(s string) bool { return s == "" })
	for item := range strings.SplitSeq(*op.Value, ",") {
		at := slices.Index(items, item)
		if op.Op == OpAppend && at < 0 {
			items = append(items, item)
		}
		if op.Op == OpSubtract && at >= 0 {
			items = slices.Delete(items, at, at+1)
		}
	}
	return strings.Join(items, ","), nil
}

func (c *Controller) checkOverrides(img *image.Image, r config.Resource, values map[string]string) error {
	switch r.Type {
	case config.TopicResource:
		if err := c.settings.CheckTopic(img, values); err != nil {
			return refused(kerr.InvalidConfig, err.Error())
		}
	case config.BrokerResource:
		if err := c.settings.CheckBroker(values, r.Name != ""); err != nil {
			return refused(kerr.InvalidRequest, err.Error()) // not InvalidConfig: KAFKA-13609
		}
	case config.GroupResource:
		if err := c.settings.CheckGroup(img, values); err != nil {
			return refused(kerr.InvalidConfig, err.Error())
		}
	}
	return nil
}

func checkValueSizes(values map[string]string) error {
	for _, value := range values {
		if len(value) > maxConfigValueBytes {
			return refused(kerr.InvalidConfig, "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.")
		}
	}
	return nil
}

// difference returns what has to be set and unset (nil) to get from before to after.
func difference(before, after map[string]string) map[string]*string {
	changed := map[string]*string{}
	for name, value := range after {
		if old, ok := before[name]; !ok || old != value {
			changed[name] = &value
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			changed[name] = nil
		}
	}
	return changed
}
