package controller

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// CreateTopics plans topics (ReplicationControlManager.createTopics). Each topic stands for itself, unless the request as
// a whole is too large.
func (c *Controller) CreateTopics(img *image.Image, tenant string, topics []NewTopic) ([]CreatedTopic, command.Group) {
	results := make([]CreatedTopic, len(topics))
	if c.totalPartitions(img, topics) > maxRecordsPerRequest {
		return refuseAll(topics, "Excessively large number of partitions per request."), nil
	}
	names := map[string]int{}
	unified := map[string]string{}
	for _, t := range topics {
		names[t.Name]++
	}
	var group command.Group
	records := 0
	for i, t := range topics {
		results[i].Name = t.Name
		topic, err := c.planTopic(img, tenant, t, names[t.Name] > 1, unified)
		if err != nil {
			results[i].Err = err
			continue
		}
		unified[strings.ReplaceAll(t.Name, ".", "_")] = t.Name
		results[i].ID = topic.ID
		results[i].PartitionCount, results[i].ReplicationFactor = int32(topic.PartitionCount()), topic.ReplicationFactor()
		results[i].Config = c.settings.TopicWith(img, topic.Config)
		group = append(group, command.CreateTopic{Topic: topic})
		records += 1 + len(topic.Config) + topic.PartitionCount()
	}
	if records > maxRecordsPerRequest {
		return refuseAll(topics, "Unable to perform excessively large batch operation."), nil
	}
	return results, group
}

func refuseAll(topics []NewTopic, message string) []CreatedTopic {
	results := make([]CreatedTopic, len(topics))
	for i, t := range topics {
		results[i] = CreatedTopic{Name: t.Name, Err: refused(kerr.PolicyViolation, message)}
	}
	return results
}

func (c *Controller) totalPartitions(img *image.Image, topics []NewTopic) int64 {
	total := int64(0)
	for _, t := range topics {
		switch {
		case len(t.Assignments) > 0:
			total += int64(len(t.Assignments))
		case t.PartitionCount == -1:
			total += c.settings.Broker(img).Int64("num.partitions")
		case t.PartitionCount > 0:
			total += int64(t.PartitionCount)
		}
	}
	return total
}

func (c *Controller) planTopic(img *image.Image, tenant string, t NewTopic, duplicate bool, unified map[string]string) (*image.Topic, error) {
	if duplicate {
		return nil, refused(kerr.InvalidRequest, "Duplicate topic name.")
	}
	if err := checkNewName(img, tenant, t.Name, unified); err != nil {
		return nil, err
	}
	overrides, err := c.topicOverrides(img, t)
	if err != nil {
		return nil, err
	}
	id := c.newTopicID()
	parts, err := c.planPartitions(img, t, id)
	if err != nil {
		return nil, err
	}
	return image.NewTopic(id, tenant, t.Name, IsInternal(t.Name), overrides, parts), nil
}

func checkNewName(img *image.Image, tenant, name string, unified map[string]string) error {
	if name == "__cluster_metadata" {
		return refused(kerr.InvalidRequest, "Creation of internal topic __cluster_metadata is prohibited.")
	}
	if err := CheckTopicName(name); err != nil {
		return err
	}
	if img.Topic(tenant, name) != nil {
		return refused(kerr.TopicAlreadyExists, "Topic '"+name+"' already exists.")
	}
	colliding := img.CollidingTopic(tenant, name)
	if colliding == "" {
		colliding = unified[strings.ReplaceAll(name, ".", "_")]
	}
	if colliding != "" {
		return refused(kerr.InvalidTopicException, "Topic '"+name+"' collides with existing topic: "+colliding)
	}
	return nil
}

func (c *Controller) topicOverrides(img *image.Image, t NewTopic) (map[string]string, error) {
	overrides := make(map[string]string, len(t.Configs))
	var null []string
	for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
		if value := t.Configs[name]; value == nil {
			null = append(null, name)
		} else {
			overrides[name] = *value
		}
	}
	if len(null) > 0 {
		return nil, refused(kerr.InvalidConfig, "Null value not supported for topic configs: "+strings.Join(null, ","))
	}
	if err := checkValueSizes(overrides); err != nil {
		return nil, err
	}
	if err := c.settings.CheckTopic(img, overrides); err != nil {
		return nil, refused(kerr.InvalidConfig, err.Error())
	}
	return overrides, nil
}

func (c *Controller) planPartitions(img *image.Image, t NewTopic, id image.TopicID) ([]*image.Partition, error) {
	switch {
	case len(t.Assignments) > 0:
		return manualPartitions(img, t)
	case t.ReplicationFactor < -1 || t.ReplicationFactor == 0:
		return nil, refused(kerr.InvalidReplicationFactor, "Replication factor must be larger than 0, or -1 to use the default value.")
	case t.PartitionCount < -1 || t.PartitionCount == 0:
		return nil, refused(kerr.InvalidPartitions, "Number of partitions was set to an invalid non-positive value.")
	}
	count, factor := t.PartitionCount, t.ReplicationFactor
	broker := c.settings.Broker(img)
	if count == -1 {
		count = broker.Int32("num.partitions")
	}
	if factor == -1 {
		factor = int16(broker.Int32("default.replication.factor"))
	}
	parts, reason := place(img, id, 0, count, factor)
	if reason != "" {
		return nil, refused(kerr.InvalidReplicationFactor, fmt.Sprintf("Unable to replicate the partition %d time(s): %s", factor, reason))
	}
	return parts, nil
}

func manualPartitions(img *image.Image, t NewTopic) ([]*image.Partition, error) {
	if t.ReplicationFactor != -1 {
		return nil, refused(kerr.InvalidRequest, "A manual partition assignment was specified, but replication factor was not set to -1.")
	}
	if t.PartitionCount != -1 {
		return nil, refused(kerr.InvalidRequest, "A manual partition assignment was specified, but numPartitions was not set to -1.")
	}
	byNumber := make(map[int32]*image.Partition, len(t.Assignments))
	factor := 0
	for _, a := range t.Assignments {
		if byNumber[a.Partition] != nil {
			return nil, refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("Found multiple manual partition assignments for partition %d", a.Partition))
		}
		p, err := manualPartition(img, a.Partition, a.Replicas, factor)
		if err != nil {
			return nil, err
		}
		byNumber[a.Partition], factor = p, len(a.Replicas)
	}
	parts := make([]*image.Partition, len(byNumber))
	for i := range parts {
		if parts[i] = byNumber[int32(i)]; parts[i] == nil {
			return nil, refused(kerr.InvalidReplicaAssignment, "partitions should be a consecutive 0-based integer sequence")
		}
	}
	return parts, nil
}

// manualPartition checks one assignment; factor is the number of replicas of those before it, 0 for the first.
func manualPartition(img *image.Image, partition int32, replicas []int32, factor int) (*image.Partition, error) {
	if err := checkAssignment(img, replicas, factor); err != nil {
		return nil, err
	}
	p := newPartition(img, slices.Clone(replicas))
	if len(p.ISR) == 0 {
		return nil, refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("All brokers specified in the manual partition assignment for partition %d are fenced or in controlled shutdown.", partition))
	}
	return p, nil
}

// checkAssignment is validateManualPartitionAssignment; factor is the number of replicas that there must be, 0 for any.
func checkAssignment(img *image.Image, replicas []int32, factor int) error {
	if len(replicas) == 0 {
		return refused(kerr.InvalidReplicaAssignment, "The manual partition assignment includes an empty replica list.")
	}
	sorted := slices.Sorted(slices.Values(replicas))
	for i, id := range sorted {
		if img.Broker(id) == nil {
			return refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("The manual partition assignment includes broker %d, but no such broker is registered.", id))
		}
		if i > 0 && sorted[i-1] == id {
			return refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("The manual partition assignment includes the broker %d more than once.", id))
		}
	}
	if factor > 0 && len(replicas) != factor {
		return refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("The manual partition assignment includes a partition with %d replica(s), but this is not consistent with previous partitions, which have %d replica(s).", len(replicas), factor))
	}
	return nil
}
