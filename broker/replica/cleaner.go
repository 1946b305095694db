package replica

import (
	"math"
	"time"

	"github.com/millrace-io/millrace/broker/log/compact"
	"github.com/millrace-io/millrace/metadata/image"
)

// cleanerSettings are the broker's for the log cleaner. Kafka restarts its threads where ours take the new values as they
// go (LogCleaner.reconfigure).
func (m *Manager) cleanerSettings(img *image.Image) compact.Settings {
	broker := m.cfg.Settings.Broker(img)
	s := compact.Settings{
		Threads:           int(broker.Int32("log.cleaner.threads")),
		Backoff:           time.Duration(min(broker.Int64("log.cleaner.backoff.ms"), math.MaxInt64/int64(time.Millisecond))) * time.Millisecond,
		KeyMapBytes:       max(broker.Int64("log.cleaner.dedupe.buffer.size"), 1),
		LoadFactor:        min(max(broker.Float64("log.cleaner.io.buffer.load.factor"), 0.01), 1),
		BufferBytes:       int64(max(broker.Int32("log.cleaner.io.buffer.size"), 1)),
		MaxBytesPerSecond: max(broker.Float64("log.cleaner.io.max.bytes.per.second"), 1),
	}
	if m.cfg.CleanerInterval > 0 {
		s.Backoff = m.cfg.CleanerInterval
	}
	return s
}

// Uncleanable lists the logs that the cleaner has given up, for health.
func (m *Manager) Uncleanable() []compact.Uncleanable { return m.cleaner.Uncleanable() }
