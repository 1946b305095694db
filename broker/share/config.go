package share

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/broker/share/delivery"
	"github.com/millrace-io/millrace/broker/share/state"
)

const (
	// stateTimeout bounds how long a share partition waits for its coordinator.
	stateTimeout = 15 * time.Second
	// maxAnswerBytes bounds the records of one answer: unlike those of Fetch they are held in memory.
	maxAnswerBytes = 8 << 20
	// readBytes is how much of a log is read at a time.
	readBytes = 1 << 20
	// maxReads bounds how often a fetch reads on in one partition where everything read was held or hidden.
	maxReads = 16
	// settingsMaxAge is how long a dynamic change of a group's settings may go unnoticed.
	settingsMaxAge = time.Second
	// maxSessionPartitions bounds what one session may name.
	maxSessionPartitions = 10_000
)

// Settings are those of one share group.
type Settings struct {
	delivery.Limits
	ReadCommitted bool   // share.isolation.level
	Reset         string // share.auto.offset.reset
	Renew         bool   // share.renew.acknowledge.enable
}

// begin says where a group begins that was nowhere: at the start, at the end, or at a time.
func (s Settings) begin() (earliest bool, back time.Duration) {
	if s.Reset == "earliest" {
		return true, 0
	}
	if text, ok := strings.CutPrefix(s.Reset, "by_duration:"); ok {
		return false, parseDuration(text)
	}
	return false, 0
}

// keeper is the share coordinator as leaders see it. *state.Client is one.
type keeper interface {
	Read(ctx context.Context, k state.Key, leaderEpoch int32) (state.State, error)
	Write(ctx context.Context, k state.Key, stateEpoch, leaderEpoch int32, w delivery.Write) error
}

// Config is what a Manager is made of.
type Config struct {
	Replicas    *replica.Manager
	States      keeper
	Settings    func(tenant, group string) Settings
	MaxSessions func() int            // group.share.max.share.sessions
	Clock       func() time.Time      // nil: time.Now
	Logger      *slog.Logger          // nil: discards
	Registerer  prometheus.Registerer // nil: no metrics
}

// parseDuration reads ISO 8601 as Java's Duration has it: PnDTnHnMn.nS. What cannot be read is nothing; the catalogue of
// settings has refused it.
func parseDuration(text string) (d time.Duration) {
	text = strings.TrimPrefix(strings.ToUpper(text), "P")
	days, clock, _ := strings.Cut(text, "T")
	if n, ok := strings.CutSuffix(days, "D"); ok {
		if hours, err := time.ParseDuration(n + "h"); err == nil {
			d += 24 * hours
		}
	}
	if part, err := time.ParseDuration(strings.ToLower(clock)); err == nil && clock != "" {
		d += part
	}
	return d
}
