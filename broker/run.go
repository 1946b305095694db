package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/millrace-io/millrace/broker/api"
	"github.com/millrace-io/millrace/broker/gateway"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/server"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata"
	"github.com/millrace-io/millrace/metadata/image"
)

// Start brings the node up, from the bottom to the top:
//
//  1. the listeners are bound, so that a taken port is found before any data is touched; health is answered from here on, and
//     other nodes are greeted
//  2. the metadata log is opened: it knows the cluster's id, which the log directories must carry too. A node that has
//     company finds or founds its cluster here
//  3. the log directories are opened and locked
//  4. replicas and groups subscribe to metadata, which starts; they see nothing of it before this start is registered
//  5. other brokers are served
//  6. the broker registers itself with the addresses it really has: logs are recovered here; one with company waits until
//     it is unfenced
//  7. clients are served
//
// When it fails, what was started is stopped again.
func (b *Broker) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(b.withStrangers(err), b.Close())
		}
	}()
	if planted.Enabled {
		b.logger.Warn("this binary is built to fail: it can have a planted fault", "fault", planted.Chosen())
	}
	if err := b.bind(); err != nil {
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
	b.groups = b.newGroups()
	b.transactions = b.newTransactions()
	b.shareStates = b.newShareStates()
	b.shareClient = b.newShareClient()
	b.shares = b.newShares()
	b.metadata.Subscribe("replicas", b.afterRegistration(b.replicas.Apply))
	b.metadata.Subscribe("groups", b.afterRegistration(b.applyToGroups))
	b.metadata.Subscribe("transactions", b.afterRegistration(b.applyToTransactions))
	b.metadata.Subscribe("share states", b.afterRegistration(b.applyToShareStates))
	if b.company != nil {
		if err := b.company.prepare(); err != nil {
			return err
		}
		b.metadata.Subscribe("registration", b.company.apply)
	}
	if err := b.metadata.Start(); err != nil {
		return fmt.Errorf("start metadata: %w", err)
	}
	b.verifier = b.newVerifier()
	b.handlers = b.services()
	sessions := api.New(b.handlers)
	if b.company == nil {
		b.assembled.Store(true)
		err = b.register(ctx)
	} else {
		err = b.joinCompany(ctx, sessions)
	}
	if err != nil {
		return err
	}
	return b.serve(sessions)
}

// bind takes the addresses. A node that has company may wait long for it: it gives the clients' address back meanwhile, so
// that they are refused, and go elsewhere, instead of waiting.
func (b *Broker) bind() (err error) {
	if b.kafkaListener, err = listen("kafka.address", b.cfg.KafkaAddress); err != nil {
		return err
	}
	b.kafkaAddress = b.kafkaListener.Addr().String()
	if b.httpListener, err = listen("http.address", b.cfg.HTTPAddress); err != nil {
		return err
	}
	if b.company, err = newCompany(b); err != nil {
		return err
	}
	if b.company != nil {
		if err := b.kafkaListener.Close(); err != nil {
			return fmt.Errorf("kafka.address: %w", err)
		}
		b.kafkaListener = nil
		b.background.Go(func() {
			if err := b.company.mux.Serve(); err != nil {
				b.fail(err)
			}
		})
	}
	if b.http, err = gateway.New(b.gatewayConfig()); err != nil {
		return err
	}
	b.registry.MustRegister(newCensus(b))
	b.background.Go(func() {
		if err := b.http.Serve(); err != nil {
			b.fail(err)
		}
	})
	return nil
}

func (b *Broker) joinCompany(ctx context.Context, sessions *api.API) (err error) {
	if err := b.company.serve(sessions); err != nil {
		return err
	}
	b.assembled.Store(true)
	if err := b.company.join(ctx); err != nil {
		return err
	}
	b.kafkaListener, err = listen("kafka.address", b.kafkaAddress)
	return err
}

func (b *Broker) openMetadata(ctx context.Context) error {
	if err := os.MkdirAll(b.cfg.Directory, 0o755); err != nil {
		return fmt.Errorf("data.directory: %w", err)
	}
	cfg := metadata.Config{
		Directory: b.cfg.MetadataDirectory(), NodeID: b.cfg.NodeID, ClusterID: b.cfg.ClusterID, Static: b.cfg.Static,
		Clock: b.clock, Logger: b.logger, Registerer: b.registry,
	}
	if b.company != nil {
		b.company.configure(&cfg)
	}
	var err error
	if b.metadata, err = metadata.Open(ctx, cfg); err != nil {
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
			RoomBytes:            broker.Int64("millrace.log.dir.room.bytes"),
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
		b.leftOut = append(b.leftOut, leftOut{path, err})
		b.registry.MustRegister(log.OfflineGauge(path, func() bool { return true }))
	}
	if len(b.dirs) == 0 {
		return b.directoryFault()
	}
	for _, dir := range b.leftOut {
		b.logger.Error("log directory left out", "error", oneLine(dir.err))
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
		Cluster:                b.company.replicaCluster(broker),
		RetentionCheckInterval: time.Duration(broker.Int64("log.retention.check.interval.ms")) * time.Millisecond,
		Clock:                  b.clock, Logger: b.logger, Registerer: b.registry,
	})
	if err != nil {
		return fmt.Errorf("open replicas: %w", err)
	}
	return nil
}

func (b *Broker) serve(sessions *api.API) error {
	settings := b.settings.Broker(b.metadata.Image())
	var err error
	b.kafka, err = server.New(server.Config{
		Name: listenerName, Listener: b.kafkaListener,
		NewSession:          sessions.NewSession,
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
	b.background.Go(func() {
		if err := b.kafka.Serve(); err != nil {
			b.fail(err)
		}
	})
	b.serving.Store(true)
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

// Close stops the node, from the top to the bottom: the controller moves its leaderships away while it goes on serving, and
// is another node from then on, so that nobody asks this one when it goes on no more; then no new requests, those in hand
// finish, coordinators let go, other brokers are served no more, logs are flushed and marked clean, metadata last because
// everything above may still ask it. It may be called after a failed Start and stops what there is.
func (b *Broker) Close() error {
	if b.company != nil {
		if b.metadata != nil {
			b.metadata.Depart()
		}
		ctx, cancel := context.WithTimeout(context.Background(), b.cfg.ShutdownGrace)
		granted := b.company.leave(ctx)
		b.handOver()
		if granted && b.kafka != nil {
			farewell(ctx, b.clock, b.kafka.LastActive)
		}
		cancel()
	}
	close(b.closing)
	b.serving.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), b.cfg.ShutdownGrace)
	defer cancel()
	var errs []error
	if b.kafka != nil {
		errs = append(errs, b.kafka.Close(ctx))
	} else if b.kafkaListener != nil {
		errs = append(errs, b.kafkaListener.Close())
	}
	if b.verifier != nil {
		b.verifier.Close()
	}
	if b.handlers != nil {
		b.handlers.Close()
	}
	if b.shares != nil {
		b.shares.Close()
		b.shareStates.Close()
	}
	if b.transactions != nil {
		b.transactions.Close()
	}
	if b.groups != nil {
		b.groups.Close()
	}
	if b.replicas != nil {
		b.replicas.Close()
	}
	if b.company != nil {
		errs = append(errs, b.company.closeInternal(ctx))
	}
	errs = append(errs, b.closeDirectories())
	if b.metadata != nil {
		errs = append(errs, b.metadata.Close())
	}
	if b.company != nil {
		errs = append(errs, b.company.close())
	}
	if b.http != nil {
		errs = append(errs, b.http.Close(ctx))
	} else if b.httpListener != nil {
		errs = append(errs, b.httpListener.Close())
	}
	b.background.Wait()
	return errors.Join(errs...)
}

// handOver gives the quorum's leadership away while other brokers are still answered: whose request came to a controller
// that is gone cannot know what became of it.
func (b *Broker) handOver() {
	if b.metadata != nil {
		b.metadata.HandOver()
	}
}

// closeDirectories marks the log directories clean, and notes under which epoch they were if all of them are.
func (b *Broker) closeDirectories() error {
	var errs []error
	for _, dir := range b.dirs {
		if err := dir.Close(); err != nil && dir.Err() == nil {
			errs = append(errs, fmt.Errorf("close log directory %s: %w", dir.Path(), err))
		} else if err != nil {
			return errors.Join(errs...) // a disk failed, which was told when it did
		}
	}
	if len(errs) == 0 && b.company.epoch() >= 0 && len(b.leftOut) == 0 {
		errs = append(errs, writeCleanEpoch(b.cfg.Directory, b.company.epoch()))
	}
	return errors.Join(errs...)
}
