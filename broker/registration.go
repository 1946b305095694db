package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/image"
)

// listenerName is the name of the one listener for clients that this version has.
const listenerName = "PLAINTEXT"

// listeners are the addresses that this broker registers. That for clients matters only to other brokers and to tools:
// clients of this broker are told the address that they dialled unless one is configured.
func (b *Broker) listeners() ([]image.Listener, error) {
	addresses := []struct{ name, setting, address string }{{listenerName, "kafka.advertised", b.cfg.KafkaAdvertised}}
	if b.cfg.KafkaAdvertised == "" {
		addresses[0].address = b.kafkaAddress
	}
	if b.company != nil {
		addresses = append(addresses, struct{ name, setting, address string }{internalListener, "cluster.advertised", b.cfg.Cluster.PeerAddress()})
	}
	var list []image.Listener
	for _, a := range addresses {
		host, portText, err := net.SplitHostPort(a.address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.setting, err)
		}
		port, err := strconv.ParseUint(portText, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("%s: port %q: %w", a.setting, portText, err)
		}
		list = append(list, image.Listener{Name: a.name, Host: host, Port: int32(port), SecurityProtocol: "PLAINTEXT"})
	}
	return list, nil
}

func (b *Broker) directoryIDs() [][16]byte {
	var ids [][16]byte
	for _, dir := range b.dirs {
		ids = append(ids, dir.ID())
	}
	return ids
}

// register tells the metadata where this broker, which is alone, is.
func (b *Broker) register(ctx context.Context) error {
	listeners, err := b.listeners()
	if err != nil {
		return err
	}
	registration := image.Broker{
		ID: b.cfg.NodeID, Incarnation: b.incarnation, Rack: b.cfg.Rack, Listeners: listeners, Directories: b.directoryIDs(),
	}
	if _, err := b.metadata.RegisterBroker(ctx, registration); err != nil {
		return fmt.Errorf("register broker: %w", err)
	}
	return nil
}

// registrationRequest is how a broker with company tells the controller of this start.
func (b *Broker) registrationRequest(previousEpoch int64) (*kmsg.BrokerRegistrationRequest, error) {
	listeners, err := b.listeners()
	if err != nil {
		return nil, err
	}
	r := kmsg.NewPtrBrokerRegistrationRequest()
	r.BrokerID, r.ClusterID, r.IncarnationID = b.cfg.NodeID, b.metadata.ClusterID(), b.incarnation
	r.LogDirs, r.PreviousBrokerEpoch = b.directoryIDs(), previousEpoch
	if b.cfg.Rack != "" {
		r.Rack = &b.cfg.Rack
	}
	for _, l := range listeners {
		r.Listeners = append(r.Listeners, kmsg.BrokerRegistrationRequestListener{Name: l.Name, Host: l.Host, Port: uint16(l.Port)})
	}
	return r, nil
}

// newIncarnation makes the id that tells this start of the process from every other.
func newIncarnation() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return id
}

// cleanEpochFile says under which registration this broker last stopped cleanly, with every log flushed: the controller
// may then still count on what it held (KIP-966). It is gone before anything is written again.
const cleanEpochFile = "clean-broker-epoch"

// noEpoch is what a broker says that did not stop cleanly.
const noEpoch = -1

func writeCleanEpoch(directory string, epoch int64) error {
	f, err := os.OpenFile(filepath.Join(directory, cleanEpochFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("note the clean stop: %w", err)
	}
	_, err = fmt.Fprintln(f, epoch)
	return errors.Join(err, f.Sync(), f.Close())
}

// takeCleanEpoch reads the file and removes it for good.
func takeCleanEpoch(directory string) (epoch int64, err error) {
	path := filepath.Join(directory, cleanEpochFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return noEpoch, nil
	}
	if err != nil {
		return noEpoch, fmt.Errorf("read the note of the last clean stop: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return noEpoch, fmt.Errorf("remove the note of the last clean stop: %w", err)
	}
	dir, err := os.Open(directory)
	if err != nil {
		return noEpoch, fmt.Errorf("remove the note of the last clean stop: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return noEpoch, fmt.Errorf("remove the note of the last clean stop: %w", err)
	}
	if epoch, err = strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err != nil {
		return noEpoch, nil // half written: as if it were not there
	}
	return epoch, nil
}
