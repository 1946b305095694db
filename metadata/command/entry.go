package command

import (
	"fmt"

	"github.com/millrace-io/millrace/metadata/image"
)

// entryVersion is the version of the frame around the commands of one log entry.
const entryVersion = 1

// Group is the commands of one request: they apply together or not at all.
type Group []Command

// Encode returns one entry of the metadata log.
func Encode(groups []Group) []byte {
	var entry, body image.Encoder
	entry.Uint(entryVersion)
	entry.Uint(uint64(len(groups)))
	for _, g := range groups {
		entry.Uint(uint64(len(g)))
		for _, c := range g {
			body.Bytes = body.Bytes[:0]
			c.encode(&body)
			entry.Uint(uint64(c.kind()))
			entry.Uint(c.kind().version())
			entry.Uint(uint64(len(body.Bytes)))
			entry.Bytes = append(entry.Bytes, body.Bytes...)
		}
	}
	return entry.Bytes
}

// Decode reads one entry of the metadata log. The commands share no memory with p.
func Decode(p []byte) ([]Group, error) {
	d := image.NewDecoder(p)
	if v := d.Uint(); d.Err() == nil && v > entryVersion {
		return nil, &image.NewerFormatError{What: "metadata log entry", Version: v, KnownVersion: entryVersion}
	}
	groups := make([]Group, 0, d.Count(1))
	for range cap(groups) {
		group := make(Group, 0, d.Count(3))
		for range cap(group) {
			c, err := decodeCommand(d)
			if err != nil {
				return nil, err
			}
			group = append(group, c)
		}
		groups = append(groups, group)
	}
	if err := d.Finish(); err != nil {
		return nil, fmt.Errorf("decode metadata log entry: %w", err)
	}
	return groups, nil
}

func decodeCommand(d *image.Decoder) (Command, error) {
	k, version := kind(d.Uint()), d.Uint()
	body := image.NewDecoder(d.Raw(d.Uint()))
	if err := d.Err(); err != nil {
		return nil, fmt.Errorf("decode metadata log entry: %w", err)
	}
	decode := decoderOf(k)
	if decode == nil {
		return nil, fmt.Errorf("metadata record type %d is not known: it was written by a newer release", k)
	}
	if version > k.version() {
		return nil, &image.NewerFormatError{What: fmt.Sprintf("metadata record type %d", k), Version: version, KnownVersion: k.version()}
	}
	c := decode(body, version)
	if err := body.Finish(); err != nil {
		return nil, fmt.Errorf("decode metadata record type %d: %w", k, err)
	}
	return c, nil
}

func decoderOf(k kind) func(d *image.Decoder, version uint64) Command {
	switch k {
	case kindNameCluster:
		return func(d *image.Decoder, _ uint64) Command { return NameCluster{ClusterID: d.String()} }
	case kindCreateTopic:
		return decodeCreateTopic
	case kindDeleteTopic:
		return func(d *image.Decoder, _ uint64) Command { return DeleteTopic{TopicID: d.ID()} }
	case kindAddPartitions:
		return func(d *image.Decoder, _ uint64) Command {
			return AddPartitions{TopicID: d.ID(), First: d.Int32(), Partitions: d.PartitionList()}
		}
	case kindChangePartitions:
		return decodeChangePartitions
	case kindSetConfig:
		return decodeSetConfig
	case kindRegisterBroker:
		return decodeRegisterBroker
	case kindRemoveBroker:
		return func(d *image.Decoder, _ uint64) Command { return RemoveBroker{ID: d.Int32()} }
	case kindTakeProducerIDs:
		return func(d *image.Decoder, _ uint64) Command {
			return TakeProducerIDs{BrokerID: d.Int32(), First: d.Int(), Count: d.Int32()}
		}
	case kindSetFeature:
		return func(d *image.Decoder, _ uint64) Command { return SetFeature{Name: d.String(), Level: int16(d.Int32())} }
	case kindChangeBroker:
		return decodeChangeBroker
	}
	return nil
}

func decodeRegisterBroker(d *image.Decoder, version uint64) Command {
	c := RegisterBroker{Broker: d.Broker()}
	if version >= 2 {
		c.KeepEpoch = d.Bool()
	}
	return c
}

func decodeChangeBroker(d *image.Decoder, _ uint64) Command {
	c := ChangeBroker{ID: d.Int32(), Epoch: d.Int()}
	c.Fenced, c.InControlledShutdown = d.BrokerState()
	c.Directories = d.IDs()
	return c
}

func decodeCreateTopic(d *image.Decoder, _ uint64) Command {
	t := d.Topic()
	if t == nil {
		t = &image.Topic{} // the decoder's fault is returned instead of it
	}
	return CreateTopic{Topic: t}
}

// Apply applies the groups of the entry at index in order. A group that does not fit is left out; its place in refusals
// holds the reason, nil for the others.
func Apply(img *image.Image, index uint64, groups []Group, changes *image.Changes) (next *image.Image, refusals []error) {
	refusals = make([]error, len(groups))
	if len(groups) == 0 {
		next, _ = img.Edit(index).Done()
		return next, refusals
	}
	for i, group := range groups {
		next, applied, err := applyGroup(img, index, group)
		refusals[i] = err
		if err == nil {
			changes.Add(applied)
		}
		img = next
	}
	return img, refusals
}

func applyGroup(img *image.Image, index uint64, group Group) (*image.Image, *image.Changes, error) {
	e := img.Edit(index)
	for _, c := range group {
		if err := c.Apply(e); err != nil {
			next, _ := img.Edit(index).Done() // the entry counts, its group does not
			return next, nil, err
		}
	}
	next, changes := e.Done()
	return next, changes, nil
}
