package controller

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// DeleteTopics plans the deletion of topics (ReplicationControlManager.deleteTopics).
func (c *Controller) DeleteTopics(img *image.Image, ids []image.TopicID) ([]error, command.Group) {
	errs := make([]error, len(ids))
	var group command.Group
	seen := map[image.TopicID]bool{}
	allowed := c.settings.Broker(img).Bool("delete.topic.enable")
	for i, id := range ids {
		switch {
		case !allowed:
			errs[i] = refused(kerr.TopicDeletionDisabled, "Topic deletion is disabled.")
		case img.TopicByID(id) == nil || seen[id]:
			errs[i] = refused(kerr.UnknownTopicID, "This server does not host this topic ID.")
		default:
			seen[id] = true
			group = append(group, command.DeleteTopic{TopicID: id})
		}
	}
	return errs, group
}

// CreatePartitions plans more partitions (ReplicationControlManager.createPartitions).
func (c *Controller) CreatePartitions(img *image.Image, requests []MorePartitions) ([]error, command.Group) {
	errs := make([]error, len(requests))
	var group command.Group
	seen := map[image.TopicID]bool{}
	total := int64(0)
	for i, r := range requests {
		if seen[r.TopicID] {
			errs[i] = refused(kerr.InvalidRequest, "Duplicate topic name.")
			continue
		}
		seen[r.TopicID] = true
		if t := img.TopicByID(r.TopicID); t != nil {
			total += max(0, int64(r.Count)-int64(t.PartitionCount()))
		}
		if total > maxRecordsPerRequest {
			break
		}
		planned, err := planMore(img, r)
		if err != nil {
			errs[i] = err
			continue
		}
		group = append(group, planned)
	}
	if total > maxRecordsPerRequest {
		for i := range errs {
			errs[i] = refused(kerr.PolicyViolation, "Unable to perform excessively large batch operation.")
		}
		return errs, nil
	}
	return errs, group
}

func planMore(img *image.Image, r MorePartitions) (command.Command, error) {
	t := img.TopicByID(r.TopicID)
	if t == nil {
		return nil, refused(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	}
	have := t.PartitionCount()
	switch {
	case int(r.Count) == have:
		return nil, refused(kerr.InvalidPartitions, fmt.Sprintf("Topic already has %d partition(s).", have))
	case int(r.Count) < have:
		return nil, refused(kerr.InvalidPartitions, fmt.Sprintf("The topic %s currently has %d partition(s); %d would not be an increase.", t.Name, have, r.Count))
	}
	additional := int(r.Count) - have
	if r.Assignments != nil && len(r.Assignments) != additional {
		return nil, refused(kerr.InvalidReplicaAssignment, fmt.Sprintf("Attempted to add %d additional partition(s), but only %d assignment(s) were specified.", additional, len(r.Assignments)))
	}
	factor := t.ReplicationFactor()
	planned := command.AddPartitions{TopicID: t.ID, First: int32(have)}
	if r.Assignments == nil {
		parts, reason := place(img, t.ID, int32(have), int32(additional), factor)
		if reason != "" {
			return nil, refused(kerr.InvalidReplicationFactor, reason)
		}
		planned.Partitions = parts
		return planned, nil
	}
	for i, replicas := range r.Assignments {
		p, err := manualPartition(img, int32(have+i), replicas, int(factor))
		if err != nil {
			return nil, err
		}
		planned.Partitions = append(planned.Partitions, p)
	}
	return planned, nil
}
