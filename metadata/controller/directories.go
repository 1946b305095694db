package controller

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// DirectoryAssignment says in which log directory of a broker a replica lies (AssignReplicasToDirs).
type DirectoryAssignment struct {
	TopicID   image.TopicID
	Partition int32
	Directory [16]byte
}

// AssignDirectories plans what a broker says of where its replicas lie; a replica in a directory that is not online leads
// nothing and is in no ISR (ReplicationControlManager.handleAssignReplicasToDirs). The errors are in the order of the
// assignments.
//
// Our brokers tell only of replicas whose logs they cannot use (image.LostDirectory) or that cannot grow on a full disk
// (image.FullDirectory: nothing changes while nobody else is in sync), whose logs are not there any more (image.GoneDirectory:
// from then on nothing says that they have records), and of those that they can use again. Where the
// others lie changes nothing here, and to know it would cost a record for each replica.
func (c *Controller) AssignDirectories(img *image.Image, brokerID int32, brokerEpoch int64, assignments []DirectoryAssignment) ([]error, command.Group, error) {
	if err := CheckBrokerEpoch(img, brokerID, brokerEpoch); err != nil {
		return nil, nil, err
	}
	d := c.newDraft(img)
	faults := make([]error, len(assignments))
	for i, a := range assignments {
		faults[i] = d.assignDirectory(img.Broker(brokerID), a)
	}
	return faults, d.group(), nil
}

func (d *draft) assignDirectory(b *image.Broker, a DirectoryAssignment) error {
	t := d.img.TopicByID(a.TopicID)
	if t == nil {
		return refused(kerr.UnknownTopicID, "This server does not host this topic ID.")
	}
	td := d.topic(t)
	p := td.partition(a.Partition)
	if p == nil {
		return refused(kerr.UnknownTopicOrPartition, "This server does not host this topic-partition.")
	}
	at := slices.Index(p.Replicas, b.ID)
	if at < 0 {
		return refused(kerr.NotLeaderForPartition, fmt.Sprintf("Broker %d is no replica of the partition.", b.ID))
	}
	switch {
	case a.Directory == image.GoneDirectory():
		d.forgetReplica(td, a.Partition, p, b.ID)
	case slices.Contains(b.Directories, a.Directory):
		change := td.change(p, acceptable(d.img, -1, -1))
		change.target.Directories = assigned(p, at, a.Directory)
		td.put(a.Partition, change)
	case a.Directory == image.FullDirectory() && slices.Contains(p.ISR, b.ID) && !d.img.OthersInSync(p, b.ID):
		return refused(kerr.EligibleLeadersNotAvailable, "No other replica is in sync.")
	default:
		change := td.change(p, acceptable(d.img, -1, b.ID))
		change.target.Directories = assigned(p, at, image.LostDirectory())
		change.target.ISR = without(p.ISR, b.ID)
		td.put(a.Partition, change)
	}
	return nil
}

// assigned returns the directories of the replicas with another one for the replica at an index.
func assigned(p *image.Partition, at int, directory [16]byte) [][16]byte {
	directories := make([][16]byte, len(p.Replicas))
	copy(directories, p.Directories)
	directories[at] = directory
	if !slices.ContainsFunc(directories, func(id [16]byte) bool { return id != [16]byte{} }) {
		return nil
	}
	return directories
}

// forgetLost forgets which replicas a broker could not use before it was started anew. For one that is alone: others say
// which they can use again.
func (d *draft) forgetLost(id int32) {
	lost := func(p *image.Partition) bool { return p.Lost(id) }
	d.each(lost, func(td *topicDraft, i int32, p *image.Partition) {
		change := td.change(p, acceptable(d.img, -1, id))
		change.target.Directories = assigned(p, slices.Index(p.Replicas, id), [16]byte{})
		td.put(i, change)
	})
}

// missing lists the directories that a broker had and that an incarnation of it does not have.
func missing(before, now [][16]byte) (ids [][16]byte) {
	for _, id := range before {
		if !slices.Contains(now, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
