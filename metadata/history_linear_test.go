package metadata

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// block is one request for producer ids and its outcome.
type block struct {
	first int64 // -1: the outcome is not known
}

func TestProducerIDsAreLinearizableWhileControllersAreKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	began := time.Now()
	var mu sync.Mutex
	var history []porcupine.Operation
	stop := make(chan struct{})
	var clients sync.WaitGroup
	nodes := func() []*Node {
		mu.Lock()
		defer mu.Unlock()
		var running []*Node
		for _, m := range c.members {
			if m.node != nil {
				running = append(running, m.node)
			}
		}
		return running
	}
	for client := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(2 * time.Millisecond):
				}
				for _, n := range nodes() {
					if !n.IsController() {
						continue
					}
					call := time.Since(began).Nanoseconds()
					ctx, cancel := context.WithTimeout(context.Background(), time.Second)
					first, err := allocate(ctx, n)
					cancel()
					op := porcupine.Operation{ClientId: client, Call: call, Output: block{first}, Return: time.Since(began).Nanoseconds()}
					if err != nil {
						op.Output, op.Return = block{-1}, int64(time.Hour) // it may take effect at any time, or never
						op.ClientId = 1000 + int(call)
					}
					mu.Lock()
					history = append(history, op)
					mu.Unlock()
				}
			}
		})
	}
	for range 4 {
		time.Sleep(300 * time.Millisecond)
		old := c.controller()
		node, mux := old.node, old.mux
		old.cut.kill()
		mu.Lock()
		old.node = nil
		mu.Unlock()
		_ = node.Close()
		_ = mux.Close()
		old.serve.Wait()
		c.controller()
		fresh := &member{c: c, id: old.id, address: old.address}
		fresh.start()
		mu.Lock()
		c.members[old.id] = fresh
		mu.Unlock()
	}
	close(stop)
	clients.Wait()
	unknown := 0
	for _, op := range history {
		if op.Output.(block).first < 0 {
			unknown++
		}
	}
	if result := porcupine.CheckOperationsTimeout(blocks(), history, time.Minute); result != porcupine.Ok {
		t.Errorf("%d requests, %d of unknown outcome: %v", len(history), unknown, result)
	}
	t.Logf("%d requests, %d of unknown outcome", len(history), unknown)
}

// blocks is what the metadata log promises of producer ids: each block is the next one, whoever handed it out. A request of
// unknown outcome may have had no effect.
func blocks() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{int64(0)} },
		Step: func(state, _, output any) []any {
			next, got := state.(int64), output.(block).first
			switch {
			case got < 0:
				return []any{next, next + 1000}
			case got == next:
				return []any{next + 1000}
			}
			return nil
		},
		Equal: func(a, b any) bool { return a == b },
	}
	return model.ToModel()
}

func TestCheckerOfProducerIDsSeesFaults(t *testing.T) {
	op := func(call, ret, first int64) porcupine.Operation {
		return porcupine.Operation{ClientId: int(call), Call: call, Return: ret, Output: block{first}}
	}
	for name, tt := range map[string]struct {
		history []porcupine.Operation
		want    bool
	}{
		"in order":          {[]porcupine.Operation{op(1, 2, 0), op(3, 4, 1000)}, true},
		"the same twice":    {[]porcupine.Operation{op(1, 2, 0), op(3, 4, 0)}, false},
		"back in time":      {[]porcupine.Operation{op(1, 2, 1000), op(3, 4, 0)}, false},
		"at once":           {[]porcupine.Operation{op(1, 9, 1000), op(2, 8, 0)}, true},
		"unknown, and done": {[]porcupine.Operation{op(1, 100, -1), op(3, 4, 1000)}, true},
		"unknown, not done": {[]porcupine.Operation{op(1, 100, -1), op(3, 4, 0)}, true},
		"a gap":             {[]porcupine.Operation{op(1, 2, 0), op(3, 4, 2000)}, false},
	} {
		if got := porcupine.CheckOperations(blocks(), tt.history); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
