package replica

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/broker/log"
)

// AnyEpoch is the expected leader epoch of who does not know it.
const AnyEpoch int32 = -1

// Append writes entries to the log as the leader, of the expected epoch if that is not AnyEpoch. What was refused says so
// in its entry; an error is of the partition or its log, and is the Err of every entry that was not appended because of
// it. Without write caching a flush is under way when Append returns; AwaitOffset, given the epoch that it returns, tells
// when the in-sync replicas hold the records.
func (p *Partition) Append(entries []log.Entry, requiredAcks int16, origin log.Origin, expectedEpoch int32) (leaderEpoch int32, err error) {
	l, err := p.writable(requiredAcks)
	if err != nil {
		refuse(entries, err)
		return -1, err
	}
	defer l.Reclaim() // whatever happens: the memory of the entries is the caller's again
	p.role.RLock()
	leaderEpoch, err = p.leadingEpoch(expectedEpoch)
	appended := 0
	if err == nil {
		appended, err = l.Lend(entries, leaderEpoch, origin)
	} else {
		refuse(entries, err)
	}
	p.role.RUnlock()
	if appended > 0 {
		p.appended(l, entries)
	}
	if err != nil {
		return leaderEpoch, p.failed(err)
	}
	return leaderEpoch, nil
}

func refuse(entries []log.Entry, err error) {
	for i := range entries {
		if entries[i].Err == nil {
			entries[i].Err = err
		}
	}
}

// leadingEpoch returns the epoch in which this broker leads. The caller holds role.
func (p *Partition) leadingEpoch(expected int32) (int32, error) {
	if err := p.Err(); err != nil {
		return -1, err
	}
	epoch := p.LeaderEpoch()
	if expected != AnyEpoch && expected != epoch {
		return -1, kerr.NotLeaderForPartition
	}
	return epoch, nil
}

// writable returns the log if this broker may append to it now.
func (p *Partition) writable(requiredAcks int16) (*log.Log, error) {
	if err := p.Err(); err != nil {
		return nil, err
	}
	if err := p.manager.deposed(); err != nil {
		return nil, err
	}
	if requiredAcks == AcksAll {
		if err := p.CheckInSync(); err != nil {
			return nil, err
		}
	}
	return p.openForWrite()
}

// appended makes what was appended count: at once where memory is enough, else once it is flushed. Followers that wait
// for records are woken either way.
func (p *Partition) appended(l *log.Log, entries []log.Entry) {
	bytes := 0
	for i := range entries {
		if entries[i].Err == nil && !entries[i].Duplicate {
			bytes += len(entries[i].Batch)
		}
	}
	p.appendedBytes.Add(int64(bytes))
	if p.Topic.Settings().AckFromMemory {
		p.hold(l, true)
	}
	// Asked anew: write caching that was switched off in between has flushed without these entries.
	if !p.Topic.Settings().AckFromMemory {
		l.RequestFlush()
	}
	p.tellSessions(newsBytes, true)
}

// failed notes an error of the log itself, so that later requests need not find it again.
func (p *Partition) failed(err error) error {
	if !errors.Is(err, log.ErrNoSpace) {
		if l := p.log.Load(); l != nil && l.Err() != nil {
			p.takeOffline(storageError(err))
		}
	}
	return err
}

func (p *Partition) takeOffline(err error) {
	if p.removed.Load() { // its log was closed on purpose
		return
	}
	if p.offline.CompareAndSwap(nil, &err) {
		p.manager.cfg.Logger.Error("partition offline", "topic", p.Topic.Name, "partition", p.Number, "error", err)
		p.wakeAll()
		p.manager.tellOffline()
	}
}
