package metadata

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// A controller that is about to stop hands over while it still runs and is heard: nobody's patience with it ends, so without
// the hand-over there would be no election at all. Whoever asks meanwhile is answered either that it is done or that this is
// not the controller; nobody is left not knowing.
func TestControllerHandsOverBeforeItStops(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	c.same()
	var fault error
	for range 10 { // a machine that is loaded may end a leadership at any time
		if fault = handOver(t, c); fault == nil {
			return
		}
	}
	t.Error(fault)
}

func handOver(t *testing.T, c *cluster) error {
	old := c.controller()
	term := old.node.Quorum().LeaderEpoch
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var asking sync.WaitGroup
	faults := make(chan error, 4)
	for range cap(faults) {
		asking.Go(func() {
			for {
				if _, err := allocate(ctx, old.node); errors.Is(err, kerr.NotController) {
					return
				} else if err != nil {
					faults <- fmt.Errorf("asked while it hands over: %w", err)
					return
				}
			}
		})
	}
	handed := old.node.HandOver()
	if !handed {
		cancel()
	}
	asking.Wait()
	if !handed {
		return errors.New("it has not handed over")
	}
	select {
	case fault := <-faults:
		return fault
	default:
	}
	c.eventually("a node that hears of its successor", func() bool {
		q := old.node.Quorum()
		return q.LeaderID >= 0 && q.LeaderID != old.id && q.LeaderEpoch > term
	})
	if q := old.node.Quorum(); q.LeaderEpoch != term+1 {
		return fmt.Errorf("the hand-over went from term %d to %d, want one election", term, q.LeaderEpoch)
	}
	if old.node.HandOver() {
		return errors.New("who is not the controller hands over")
	}
	c.allocate()
	heir, term := c.controller(), c.controller().node.Quorum().LeaderEpoch
	old.stop()
	now := c.controller().node.Quorum()
	old.start()
	if now.LeaderID != heir.id || now.LeaderEpoch != term {
		return fmt.Errorf("the end of a node that is not the controller went from term %d to %d", term, now.LeaderEpoch)
	}
	return nil
}
