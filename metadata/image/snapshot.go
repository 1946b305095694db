package image

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"slices"

	"github.com/millrace-io/millrace/metadata/config"
)

// snapshotMagic begins every snapshot; the byte behind it is the version of the format.
const (
	snapshotMagic   = "MRIMAGE"
	snapshotVersion = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewerFormatError says that data was written by a newer release.
type NewerFormatError struct {
	What         string
	Version      uint64
	KnownVersion uint64
}

func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("%s has format version %d, this release knows versions up to %d: it was written by a newer release", e.What, e.Version, e.KnownVersion)
}

// Snapshot returns the whole image as bytes, the same bytes for equal images. DESIGN.md draws them.
func (i *Image) Snapshot() []byte {
	var e Encoder
	e.Bytes = append(e.Bytes, snapshotMagic...)
	e.Bytes = append(e.Bytes, snapshotVersion)
	e.Uint(i.index)
	e.String(i.clusterID)
	e.Int(i.nextProducerID)
	e.Uint(uint64(len(i.features)))
	for _, name := range slices.Sorted(maps.Keys(i.features)) {
		e.String(name)
		e.Int(int64(i.features[name]))
	}
	e.Uint(uint64(i.brokers.Len()))
	for b := range i.Brokers() {
		e.Broker(b)
	}
	e.Uint(uint64(i.configs.Len()))
	for r := range i.ConfiguredResources() {
		e.String(string(configKey(r)))
		e.Map(i.ConfigOverrides(r))
	}
	e.Uint(uint64(i.topics.Len()))
	for t := range i.AllTopics() {
		e.Topic(t)
	}
	return binary.LittleEndian.AppendUint32(e.Bytes, crc32.Checksum(e.Bytes, castagnoli))
}

// maxSnapshotBytes bounds what Restore reads, far above a cluster of a million partitions.
const maxSnapshotBytes = 1 << 30

// ReadSnapshot restores an image from a reader.
func ReadSnapshot(r io.Reader) (*Image, error) {
	p, err := io.ReadAll(io.LimitReader(r, maxSnapshotBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read metadata snapshot: %w", err)
	}
	if len(p) > maxSnapshotBytes {
		return nil, fmt.Errorf("read metadata snapshot: more than %d bytes", maxSnapshotBytes)
	}
	return Restore(p)
}

// Restore reads what Snapshot wrote and refuses anything else.
func Restore(p []byte) (*Image, error) {
	header := len(snapshotMagic) + 1
	if len(p) < header+4 || string(p[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: not a metadata snapshot", ErrMalformed)
	}
	body, sum := p[:len(p)-4], binary.LittleEndian.Uint32(p[len(p)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, fmt.Errorf("%w: the checksum of the metadata snapshot does not match", ErrMalformed)
	}
	if v := p[header-1]; v == 0 || v > snapshotVersion {
		return nil, &NewerFormatError{What: "metadata snapshot", Version: uint64(v), KnownVersion: snapshotVersion}
	}
	d := NewDecoder(body[header:])
	index := d.Uint()
	e := Empty().Edit(index)
	e.next.clusterID, e.next.nextProducerID = d.String(), d.Int()
	if err := restoreParts(d, e); err != nil {
		return nil, err
	}
	if err := d.Finish(); err != nil {
		return nil, err
	}
	next, _ := e.Done()
	return next, nil
}

func restoreParts(d *Decoder, e *Edit) error {
	for range d.Count(2) {
		name, level := d.String(), d.Int32()
		if int32(int16(level)) != level {
			d.fail("feature level out of range")
		}
		if err := firstFault(d, e.SetFeature(name, int16(level))); err != nil {
			return err
		}
	}
	for range d.Count(20) {
		if err := firstFault(d, e.PutBroker(d.Broker())); err != nil {
			return err
		}
	}
	for range d.Count(2) {
		key, values := []byte(d.String()), d.Map()
		if len(key) == 0 || values == nil || !bytes.Equal(configKey(parseConfigKey(key)), key) || key[0] == byte(config.TopicResource) {
			d.fail("bad configuration")
			return d.err
		}
		e.configs.Insert(key, values)
	}
	for range d.Count(20) {
		t := d.Topic()
		if d.err != nil {
			return d.err
		}
		if err := firstFault(d, e.CreateTopic(t)); err != nil {
			return err
		}
	}
	return d.err
}

// firstFault prefers the decoder's fault: what was built from bytes that are not there means nothing.
func firstFault(d *Decoder, err error) error {
	if d.err != nil {
		return d.err
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
