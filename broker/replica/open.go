package replica

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
)

var errNoDirectory = fmt.Errorf("no log directory of this broker works: %w", kerr.KafkaStorageError)

// OpenLog returns the partition's log, opening it if it is on disk; nil when nothing was ever written to it.
func (p *Partition) OpenLog() (*log.Log, error) { return p.open(false) }

func (p *Partition) openForWrite() (*log.Log, error) {
	if l := p.log.Load(); l != nil {
		return l, nil
	}
	return p.open(true)
}

// open returns the log, opening it when it is on disk. With create it also makes one that is not; otherwise the log of a
// partition never written to is nil.
func (p *Partition) open(create bool) (*log.Log, error) {
	if l := p.log.Load(); l != nil {
		return l, nil
	}
	p.opening.Lock()
	defer p.opening.Unlock()
	if l := p.log.Load(); l != nil {
		return l, nil
	}
	if p.removed.Load() {
		return nil, kerr.UnknownTopicOrPartition
	}
	if p.dir == nil {
		if !create {
			return nil, nil
		}
		if p.dir = p.manager.chooseDir(); p.dir == nil {
			return nil, errNoDirectory
		}
	}
	l, err := p.dir.Open(p.logName(), p.Topic.Settings().Log, log.Hooks{Flushed: p.flushed})
	if err != nil {
		err = fmt.Errorf("open partition %s-%d: %w", p.Topic.Name, p.Number, err)
		if !errors.Is(err, log.ErrNoSpace) {
			p.takeOffline(storageError(err))
		}
		return nil, storageError(err)
	}
	// What recovery found may have been acknowledged before: it is made durable now, so that this replica counts for it.
	if !p.Topic.Settings().AckFromMemory && l.FlushedOffset() < l.LogEndOffset() {
		if err := l.Flush(); err != nil {
			p.takeOffline(storageError(err))
			return nil, storageError(err)
		}
	}
	p.raise(l.HighWatermark())
	p.log.Store(l) // last: who finds the log must find its high watermark too
	return l, nil
}

func (p *Partition) logName() log.TopicPartition {
	return log.TopicPartition{TopicID: log.TopicID(p.Topic.ID), Topic: p.Topic.directoryName(), Partition: p.Number}
}

// storageError makes sure that clients are told KAFKA_STORAGE_ERROR whatever the cause.
func storageError(err error) error {
	if errors.Is(err, kerr.KafkaStorageError) {
		return err
	}
	return fmt.Errorf("%w: %w", kerr.KafkaStorageError, err)
}
