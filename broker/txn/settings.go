package txn

import (
	"sync"
	"time"
)

// settingsMaxAge is how long a dynamic change may go unnoticed.
const settingsMaxAge = time.Second

// Settings are Kafka's settings of transactions, resolved by the caller. They are read anew every second.
type Settings struct {
	MaxTimeoutMillis        int32 // transaction.max.timeout.ms
	IDExpirationMillis      int64 // transactional.id.expiration.ms
	IDExpirationCheckMillis int64 // transaction.remove.expired.transaction.cleanup.interval.ms
	WriteTimeoutMillis      int32 // how long a record may take to be committed: Kafka's request.timeout.ms
	MaxBatchBytes           int32 // max.message.bytes of the transaction topic
	CompletionLingerMillis  int32 // how long the record of a completion waits for the next transaction of the producer; Kafka has none
	Version                 int16 // of transactions: the level of the feature transaction.version
}

// DefaultSettings are Kafka's defaults.
func DefaultSettings() Settings {
	return Settings{
		MaxTimeoutMillis:        900_000,
		IDExpirationMillis:      7 * 24 * 3600 * 1000,
		IDExpirationCheckMillis: 3600 * 1000,
		WriteTimeoutMillis:      30_000,
		MaxBatchBytes:           1048588,
		CompletionLingerMillis:  50,
		Version:                 2,
	}
}

// cached keeps settings for settingsMaxAge: resolving them takes longer than most requests do.
func cached(resolve func() Settings, clock func() time.Time) func() Settings {
	var (
		mu       sync.Mutex
		settings Settings
		resolved time.Time
	)
	return func() Settings {
		now := clock()
		mu.Lock()
		fresh, known := now.Sub(resolved) < settingsMaxAge, settings
		mu.Unlock()
		if fresh {
			return known
		}
		known = resolve()
		mu.Lock()
		settings, resolved = known, now
		mu.Unlock()
		return known
	}
}
