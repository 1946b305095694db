package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/millrace-io/millrace/broker/api"
	"github.com/millrace-io/millrace/broker/gateway"
	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/image"
)

// Start brings the node up, from the bottom to the top:
//
//  1. both listeners are bound, so that a taken port is found before any data is touched; nobody is served yet
//  2. the metadata log is opened: it knows the cluster's id, which the log directories must carry too
//  3. the log directories are opened and locked
//  4. replicas and groups subscribe to metadata, which starts and delivers its whole image to them: logs are recovered here
//  5. the broker registers itself with the addresses it really has
//  6. the listeners begin to serve
//
// When it fails, what was started is stopped again.
func (b *Broker) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.kafkaListener, err = listen("kafka.address", b.cfg.KafkaAddress); err != nil {
		return err
	}
	if b.httpListener, err = listen("http.address", b.cfg.HTTPAddress); err != nil {
		return err
	}
	if err := b.openMetadata(ctx); err != nil {
		return err
	}
	if err := b.openDirectories(); err != nil {
		return err
	}
	if err := b.openReplicas(); err != nil {
		return err
	}
	b.groups = group.New(group.Config{
		Log: &offsetsLog{replicas: b.replicas}, PartitionCount: b.offsetsPartitionCount, Settings: b.groupSettings,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
	})
	b.metadata.Subscribe("replicas", b.replicas.Apply)
	b.metadata.Subscribe("groups", b.applyToGroups)
	if err := b.metadata.Start(); err != nil {
		return fmt.Errorf("start metadata: %w", err)
	}
	if err := b.register(ctx); err != nil {
		return err
	}
	return b.serve()
}

func (b *Broker) openMetadata(ctx context.Context) error {
	if err := os.MkdirAll(b.cfg.Directory, 0o755); err != nil {
		return fmt.Errorf("data.directory: %w", err)
	}
	var err error
	b.metadata, err = metadata.Open(ctx, metadata.Config{
		Directory: b.cfg.MetadataDirectory(), NodeID: b.cfg.NodeID, ClusterID: b.cfg.ClusterID, Static: b.cfg.Static,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
	})
	if err != nil {
		return fmt.Errorf("open metadata: %w", err)
	}
	return nil
}

// openDirectories opens every log directory. One that cannot be opened because its disk fails is left out as long as
// another works; one that is locked, foreign or of a newer format is a mistake of the operator and ends the start.
func (b *Broker) openDirectories() error {
	broker := b.settings.Broker(image.Empty())
	for _, path := range b.cfg.LogDirs() {
		dir, err := log.OpenDir(log.DirConfig{
			Path: path, FS: vfs.OS(), Clock: b.clock, Logger: b.logger, Registerer: b.registry,
			ClusterID: b.metadata.ClusterID(), NodeID: b.cfg.NodeID,
			ProducerIDExpiration: time.Duration(broker.Int64("producer.id.expiration.ms")) * time.Millisecond,
			CheckpointInterval:   time.Duration(broker.Int64("log.flush.offset.checkpoint.interval.ms")) * time.Millisecond,
		})
		if err == nil {
			b.dirs = append(b.dirs, dir)
			continue
		}
		err = fmt.Errorf("open log directory %s: %w", path, err)
		if !isDiskError(err) {
			return err
		}
		b.leftOut = append(b.leftOut, err)
		b.registry.MustRegister(log.OfflineGauge(path, func() bool { return true }))
	}
	if len(b.dirs) == 0 {
		return errors.Join(b.leftOut...)
	}
	for _, err := range b.leftOut {
		b.logger.Error("log directory left out", "error", oneLine(err))
	}
	return nil
}

// isDiskError says that the disk, and not the operator, is at fault.
func isDiskError(err error) bool { return errors.Is(err, syscall.EIO) || errors.Is(err, syscall.EROFS) }

func (b *Broker) openReplicas() error {
	broker := b.settings.Broker(image.Empty())
	var err error
	b.replicas, err = replica.New(replica.Config{
		NodeID: b.cfg.NodeID, Dirs: b.dirs, Settings: b.settings, MissingDirs: len(b.leftOut) > 0,
		RetentionCheckInterval: time.Duration(broker.Int64("log.retention.check.interval.ms")) * time.Millisecond,
		Clock:                  b.clock, Logger: b.logger, Registerer: b.registry,
	})
	if err != nil {
		return fmt.Errorf("open replicas: %w", err)
	}
	return nil
}

// register tells the cluster where this broker is. The advertised address matters only to other brokers and to tools;
// clients are told the address that they dialled unless one is configured.
func (b *Broker) register(ctx context.Context) error {
	address := b.cfg.KafkaAdvertised
	if address == "" {
		address = b.KafkaAddress()
	}
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("kafka.advertised: %w", err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return fmt.Errorf("kafka.advertised: port %q: %w", portText, err)
	}
	registration := image.Broker{
		ID: b.cfg.NodeID, Incarnation: newIncarnation(), Rack: b.cfg.Rack,
		Listeners: []image.Listener{{Name: listenerName, Host: host, Port: int32(port), SecurityProtocol: "PLAINTEXT"}},
	}
	for _, dir := range b.dirs {
		registration.Directories = append(registration.Directories, dir.ID())
	}
	if _, err := b.metadata.RegisterBroker(ctx, registration); err != nil {
		return fmt.Errorf("register broker: %w", err)
	}
	return nil
}

// newIncarnation makes the id that tells this start of the process from every other.
func newIncarnation() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return id
}

// listenerName is the name of the one Kafka listener that this version has.
const listenerName = "PLAINTEXT"

func (b *Broker) serve() error {
	settings := b.settings.Broker(b.metadata.Image())
	b.handlers = b.services()
	var err error
	b.kafka, err = server.New(server.Config{
		Name: listenerName, Listener: b.kafkaListener,
		NewSession:          api.New(b.handlers).NewSession,
		RequestMaxBytes:     int(settings.Int32("socket.request.max.bytes")),
		MaxConnections:      int(min(settings.Int64("max.connections"), int64(^uint32(0)>>1))),
		MaxConnectionsPerIP: int(settings.Int32("max.connections.per.ip")),
		MaxIdle:             time.Duration(settings.Int64("connections.max.idle.ms")) * time.Millisecond,
		MemoryBudget:        b.frames,
		Clock:               b.clock, Logger: b.logger, Registerer: b.registry,
	})
	if err != nil {
		return err
	}
	b.http, err = gateway.New(b.gatewayConfig())
	if err != nil {
		return err
	}
	b.background.Go(func() {
		if err := b.kafka.Serve(); err != nil {
			b.fail(err)
		}
	})
	b.background.Go(func() {
		if err := b.http.Serve(); err != nil {
			b.fail(err)
		}
	})
	b.background.Go(b.watch)
	b.logger.Info("broker started", "node", b.cfg.NodeID, "cluster", b.metadata.ClusterID(), "kafka", b.KafkaAddress(), "http", b.HTTPAddress())
	return nil
}

// watch ends the process when it can no longer do its work: the metadata store failed, or the last log directory did.
func (b *Broker) watch() {
	for _, dir := range b.dirs {
		select {
		case <-dir.Failed():
			continue // look whether another still works
		case <-b.metadata.Failed():
			b.fail(fmt.Errorf("metadata store failed: %w", b.metadata.Err()))
			return
		case <-b.closing:
			return
		}
	}
	b.fail(fmt.Errorf("every log directory is offline, the last one because: %w", b.dirs[len(b.dirs)-1].Err()))
}

// Close stops the node, from the top to the bottom: no new requests, those in hand finish, coordinators let go, logs are
// flushed and marked clean, metadata last because everything above may still ask it. It may be called after a failed
// Start and stops what there is.
func (b *Broker) Close() error {
	close(b.closing)
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.ShutdownGrace)
	defer cancel()
	var errs []error
	if b.kafka != nil {
		errs = append(errs, b.kafka.Close(ctx))
	} else if b.kafkaListener != nil {
		errs = append(errs, b.kafkaListener.Close())
	}
	if b.handlers != nil {
		b.handlers.Close()
	}
	if b.groups != nil {
		b.groups.Close()
	}
	if b.replicas != nil {
		b.replicas.Close()
	}
	for _, dir := range b.dirs {
		if err := dir.Close(); err != nil && dir.Err() == nil {
			errs = append(errs, fmt.Errorf("close log directory %s: %w", dir.Path(), err))
		}
	}
	if b.metadata != nil {
		errs = append(errs, b.metadata.Close())
	}
	if b.http != nil {
		errs = append(errs, b.http.Close(ctx))
	} else if b.httpListener != nil {
		errs = append(errs, b.httpListener.Close())
	}
	b.background.Wait()
	return errors.Join(errs...)
}
