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
// Our brokers tell only of replicas whose logs they cannot use, as lying in image.LostDirectory: where the others lie
// changes nothing here, and to know it would cost a record for each replica.
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
	directory, lostBy := a.Directory, int32(-1)
	if !slices.Contains(b.Directories, a.Directory) {
		directory, lostBy = image.LostDirectory(), b.ID
	}
	change := td.change(p, acceptable(d.img, -1, lostBy))
	change.target.Directories = assigned(p, at, directory)
	change.target.ISR = without(p.ISR, lostBy)
	td.put(a.Partition, change)
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

// forgetLost forgets which replicas a broker could not use before it was started anew: it tells of those that it still cannot.
func (d *draft) forgetLost(id int32) {
	lost := func(p *image.Partition) bool { return p.Lost(id) }
	d.each(lost, func(td *topicDraft, i int32, p *image.Partition) {
		change := td.change(p, acceptable(d.img, -1, id))
		change.target.Directories = assigned(p, slices.Index(p.Replicas, id), [16]byte{})
		td.put(i, change)
	})
}
