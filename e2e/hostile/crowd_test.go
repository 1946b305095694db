//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// crowd is how many threads want the machine's processors, on average, while a test runs. A broker that is alone and under
// attack makes two or three for each core.
type crowd struct {
	mu                sync.Mutex
	runnable, samples int // guarded by mu
}

func (c *crowd) watch(done <-chan struct{}) {
	for {
		if text, err := os.ReadFile("/proc/loadavg"); err == nil {
			var one, five, fifteen float64
			var now int
			if n, _ := fmt.Sscanf(string(text), "%f %f %f %d/", &one, &five, &fifteen, &now); n == 4 {
				c.mu.Lock()
				c.runnable, c.samples = c.runnable+now, c.samples+1
				c.mu.Unlock()
			}
		}
		select {
		case <-done:
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// perCore is 0 where the system does not tell.
func (c *crowd) perCore() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return float64(c.runnable) / float64(max(c.samples, 1)*runtime.NumCPU())
}

// stretch is a time on a machine that does nothing else, made longer by how many share this one.
func (c *crowd) stretch(alone time.Duration) time.Duration {
	return time.Duration(max(1, c.perCore()/2) * float64(alone))
}
