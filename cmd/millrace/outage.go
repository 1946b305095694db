package main

import (
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// outageNotes tells a person when a broker stops answering under a command that runs on, and when it is back: the client
// itself tries again in silence, which looks like a cluster without records.
type outageNotes struct {
	cmd *cobra.Command

	mu   sync.Mutex // guards down: connections are made on the client's goroutines
	down map[int32]time.Time
}

var _ kgo.HookBrokerConnect = (*outageNotes)(nil)

func newOutageNotes(cmd *cobra.Command) *outageNotes {
	return &outageNotes{cmd: cmd, down: map[int32]time.Time{}}
}

// OnBrokerConnect is called by the client after each attempt to connect.
func (o *outageNotes) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if meta.NodeID < 0 || o.cmd.Context().Err() != nil {
		return // bootstrap addresses are told by connect
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	since, down := o.down[meta.NodeID]
	switch {
	case err != nil && !down:
		o.down[meta.NodeID] = time.Now()
		why, _ := dialTrouble(err)
		note(o.cmd, "broker %d at %s:%d: %s; trying again", meta.NodeID, meta.Host, meta.Port, why)
	case err == nil && down:
		delete(o.down, meta.NodeID)
		note(o.cmd, "broker %d answers again after %s", meta.NodeID, time.Since(since).Round(100*time.Millisecond))
	}
}
