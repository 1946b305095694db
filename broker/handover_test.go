package broker

import (
	"sync"
	"testing"
	"time"
)

// The broker of the controller that is stopped hears of its successor before it ends: it hands over, and is not just missed.
func TestStoppedControllerKnowsItsSuccessor(t *testing.T) {
	brokers := startTrio(t)
	old := controllerAmong(t, brokers)
	term := old.metadata.Quorum().LeaderEpoch

	var watching sync.WaitGroup
	successor := int32(-1)
	stopped := make(chan struct{})
	watching.Go(func() {
		for {
			id, known, changed := old.metadata.WatchLeader()
			if known && id != old.cfg.NodeID {
				successor = id
				return
			}
			select {
			case <-changed:
			case <-stopped:
				return
			}
		}
	})
	if err := old.Close(); err != nil {
		t.Error(err)
	}
	close(stopped)
	watching.Wait()
	var rest []*Broker
	for i, b := range brokers {
		if b == old {
			brokers[i] = nil
		} else {
			rest = append(rest, b)
		}
	}
	if successor < 0 {
		t.Error("the controller stopped without hearing of a successor")
	}
	if now := controllerAmong(t, rest).metadata.Quorum().LeaderEpoch; now <= term {
		t.Errorf("the rest has a controller in term %d, the one that stopped had %d", now, term)
	}
}

func controllerAmong(t *testing.T, brokers []*Broker) *Broker {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		for _, b := range brokers {
			if b.metadata.IsController() {
				return b
			}
		}
	}
	t.Fatal("there is no controller")
	return nil
}
