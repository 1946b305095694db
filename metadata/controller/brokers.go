package controller

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// Registration asks for a broker to be registered.
type Registration struct {
	Broker image.Broker // its Epoch is the one it had when it last stopped cleanly, 0 or -1 if it did not (Kafka's PreviousBrokerEpoch)
	Alive  bool         // the incarnation that is registered now has been heard from within its session
	Alone  bool         // there is no other broker: it serves at once, instead of after its first heartbeat
}

// RegisterBroker plans a broker's registration (ClusterControlManager.registerBroker). A new incarnation is in no ISR until
// it has caught up, and leads under a new leader epoch: what its predecessor had not flushed may be gone, and a reader that
// saw it must be able to tell (KIP-320).
//
// After an unclean stop Kafka also takes it out of every ELR, because what it had confirmed may have been in memory only.
// Ours confirms what is on its disk, so it stays eligible, unless the topic is write-cached or the disk is not there any
// more (none of the log directories that were registered before).
//
// Where some of them are there, what lies on those counts as before. Which replicas lay on the others only the broker can
// tell, since it knows which it has; it does so (AssignDirectories) while it is fenced, and then says that the others are
// offline. Until then the registration keeps their ids: whenever the broker crashes meanwhile, its next start finds that
// there is something to tell.
func (c *Controller) RegisterBroker(img *image.Image, r Registration) (command.Group, error) {
	b, before := r.Broker, img.Broker(r.Broker.ID)
	if err := checkDirectories(img, &b); err != nil {
		return nil, err
	}
	if before != nil && before.Incarnation == b.Incarnation {
		b.Epoch, b.Fenced, b.InControlledShutdown = before.Epoch, before.Fenced, before.InControlledShutdown
		b.Directories = before.Directories // less those that went offline, and with those that are not accounted for
		return command.Group{command.RegisterBroker{Broker: &b, KeepEpoch: true}}, nil
	}
	if before != nil && !before.Fenced && r.Alive {
		return nil, refused(kerr.DuplicateBrokerRegistration, "Another broker is registered with that broker id. If the broker was "+
			"recently restarted this should self-resolve once the heartbeat manager expires the broker's session.")
	}
	d := c.newDraft(img)
	if r.Alone {
		d.forgetLost(b.ID)
		d.restartAlone(b.ID)
	} else {
		d.removeStopped(&b, before)
	}
	b.Fenced, b.InControlledShutdown, b.Epoch = !r.Alone, false, 0
	return append(d.group(), command.RegisterBroker{Broker: &b}), nil
}

func checkDirectories(img *image.Image, b *image.Broker) error {
	for i, id := range b.Directories {
		if slices.Contains(b.Directories[:i], id) {
			return refused(kerr.InvalidRegistration, "Duplicate directory ID in request")
		}
		for other := range img.Brokers() {
			if other.ID != b.ID && slices.Contains(other.Directories, id) {
				return refused(kerr.InvalidRegistration, fmt.Sprintf("Broker %d is already registered with directory %s", other.ID, image.TopicID(id)))
			}
		}
	}
	return nil
}

// removeStopped takes a broker that was stopped out of the ISRs, and out of the ELRs where it may have lost records.
func (d *draft) removeStopped(b, before *image.Broker) {
	if before == nil {
		d.forget(b.ID)
		return
	}
	if lacking := missing(before.Directories, b.Directories); len(lacking) > 0 && len(lacking) == len(before.Directories) {
		d.forget(b.ID)
		return
	} else if len(lacking) > 0 {
		b.Directories = slices.Concat(b.Directories, lacking)
	}
	clean := b.Epoch == before.Epoch
	member := func(p *image.Partition) bool {
		return p.Leader == b.ID || slices.Contains(p.ISR, b.ID) || slices.Contains(p.ELR, b.ID)
	}
	d.each(member, func(td *topicDraft, i int32, p *image.Partition) {
		change := td.change(p, acceptable(d.img, -1, b.ID))
		change.target.ISR = without(p.ISR, b.ID)
		if !clean && d.writeCaches(td, b.ID) {
			change.lost = b.ID
		}
		td.put(i, change)
	})
}

// forget takes a broker whose logs are gone out of whatever says that it has records.
func (d *draft) forget(id int32) {
	member := func(p *image.Partition) bool {
		return p.Leader == id || slices.Contains(p.ISR, id) || slices.Contains(p.ELR, id) || slices.Contains(p.LastKnownELR, id)
	}
	d.each(member, func(td *topicDraft, i int32, p *image.Partition) { d.forgetReplica(td, i, p, id) })
}

// forgetReplica takes a broker whose log of one partition is gone out of whatever says that it has records.
func (d *draft) forgetReplica(td *topicDraft, i int32, p *image.Partition, id int32) {
	change := td.change(p, acceptable(d.img, -1, id))
	change.target.ISR, change.target.LastKnownELR, change.lost = without(p.ISR, id), without(p.LastKnownELR, id), id
	change.gone = true
	if p.Lost(id) {
		change.target.Directories = assigned(p, slices.Index(p.Replicas, id), [16]byte{})
	}
	td.put(i, change)
}

// restartAlone gives the only broker the partitions that it led, or can lead, under new leader epochs.
func (d *draft) restartAlone(id int32) {
	led := func(p *image.Partition) bool {
		return p.Leader == id || p.Leader < 0 && (slices.Contains(p.ISR, id) || slices.Contains(p.ELR, id) || slices.Contains(p.LastKnownELR, id))
	}
	d.each(led, func(td *topicDraft, i int32, p *image.Partition) {
		stopped := td.change(p, acceptable(d.img, -1, id))
		stopped.election = electOnline
		stopped.target.ISR = without(p.ISR, id)
		td.put(i, stopped)
		started := td.change(td.partition(i), acceptable(d.img, id, -1))
		td.put(i, started)
	})
}

// FenceBroker plans that a broker leads nothing and is in no ISR until it is heard from again
// (ReplicationControlManager.handleBrokerFenced).
func (c *Controller) FenceBroker(img *image.Image, id int32) command.Group {
	b := img.Broker(id)
	if b == nil || b.Fenced {
		return nil
	}
	d := c.newDraft(img)
	d.removeFromISRs(id)
	return append(d.group(), command.ChangeBroker{
		ID: id, Epoch: b.Epoch, Fenced: true, InControlledShutdown: b.InControlledShutdown, Directories: b.Directories,
	})
}

// UnfenceBroker plans that a broker takes part again, and leads what has no leader and it can lead
// (handleBrokerUnfenced).
func (c *Controller) UnfenceBroker(img *image.Image, id int32) command.Group {
	b := img.Broker(id)
	if b == nil || b.Active() {
		return nil
	}
	d := c.newDraft(img)
	d.electLeaderless(acceptable(img, id, -1))
	change := command.ChangeBroker{ID: id, Epoch: b.Epoch, Directories: b.Directories}
	return append(command.Group{change}, d.group()...)
}

// ShutDownBroker plans a controlled shutdown: the broker serves on, but its leaderships move away and it leaves the ISRs
// (handleBrokerInControlledShutdown).
func (c *Controller) ShutDownBroker(img *image.Image, id int32) command.Group {
	b := img.Broker(id)
	if b == nil || b.Fenced {
		return nil
	}
	d := c.newDraft(img)
	d.removeFromISRs(id)
	group := d.group()
	if !b.InControlledShutdown {
		group = append(command.Group{command.ChangeBroker{ID: id, Epoch: b.Epoch, InControlledShutdown: true, Directories: b.Directories}}, group...)
	}
	return group
}

// UnregisterBroker plans that a broker is forgotten (handleBrokerUnregistered). As in Kafka it may hold replicas: they stay
// in the lists until they are reassigned, which the drain of brokers that are not registered does. Unlike there, it is not
// eligible to lead when it should come back: nothing tells then whether its logs are the ones it had.
func (c *Controller) UnregisterBroker(img *image.Image, id int32) (command.Group, error) {
	if img.Broker(id) == nil {
		return nil, refused(kerr.BrokerIDNotRegistered, fmt.Sprintf("Broker ID %d is not currently registered", id))
	}
	d := c.newDraft(img)
	d.forget(id)
	group := append(d.group(), command.RemoveBroker{ID: id})
	if _, set := img.ConfigOverrides(brokerResource(id))[drainKey]; set { // not meant for who comes next under this id
		group = append(group, command.SetConfig{Resource: brokerResource(id), Values: map[string]*string{drainKey: nil}})
	}
	return group, nil
}

// OfflineDirectories plans that directories of a broker are lost to it: who has its replica there does not lead
// (handleDirectoriesOffline).
func (c *Controller) OfflineDirectories(img *image.Image, id int32, offline [][16]byte) command.Group {
	b := img.Broker(id)
	if b == nil || !slices.ContainsFunc(b.Directories, func(dir [16]byte) bool { return slices.Contains(offline, dir) }) {
		return nil
	}
	online := slices.DeleteFunc(slices.Clone(b.Directories), func(dir [16]byte) bool { return slices.Contains(offline, dir) })
	lies := func(p *image.Partition) bool {
		at := slices.Index(p.Replicas, id)
		return at >= 0 && at < len(p.Directories) && slices.Contains(offline, p.Directories[at]) && (p.Leader == id || slices.Contains(p.ISR, id))
	}
	d := c.newDraft(img)
	d.each(lies, func(td *topicDraft, i int32, p *image.Partition) { d.removeFromISR(td, i, p, id) })
	return append(d.group(), command.ChangeBroker{
		ID: id, Epoch: b.Epoch, Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown, Directories: online,
	})
}

func (d *draft) removeFromISRs(id int32) {
	member := func(p *image.Partition) bool { return p.Leader == id || slices.Contains(p.ISR, id) }
	d.each(member, func(td *topicDraft, i int32, p *image.Partition) { d.removeFromISR(td, i, p, id) })
}

func (d *draft) removeFromISR(td *topicDraft, i int32, p *image.Partition, id int32) {
	change := td.change(p, acceptable(d.img, -1, id))
	change.target.ISR = without(p.ISR, id)
	td.put(i, change)
}

// electLeaderless elects where there is no leader.
func (d *draft) electLeaderless(acceptable func(int32) bool) {
	d.each(func(p *image.Partition) bool { return p.Leader < 0 }, func(td *topicDraft, i int32, p *image.Partition) {
		td.put(i, td.change(p, acceptable))
	})
}

// Leads reports whether a broker leads any partition.
func Leads(img *image.Image, id int32) bool {
	for t := range img.AllTopics() {
		for _, p := range t.Partitions() {
			if p.Leader == id {
				return true
			}
		}
	}
	return false
}

// CheckBrokerEpoch refuses what comes from another incarnation than the one that is registered.
func CheckBrokerEpoch(img *image.Image, id int32, epoch int64) error {
	b := img.Broker(id)
	if b == nil {
		return refused(kerr.StaleBrokerEpoch, fmt.Sprintf("No broker registration found for broker id %d", id))
	}
	if b.Epoch != epoch {
		return refused(kerr.StaleBrokerEpoch, fmt.Sprintf("Expected broker epoch %d, but got broker epoch %d", b.Epoch, epoch))
	}
	return nil
}

func brokerName(id int32) string { return strconv.Itoa(int(id)) }
