//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// crowd is how many threads want the machine's processors, on average, while a test runs. A broker that is alone and under
// attack makes two or three for each core.
type crowd struct {
	runnable, samples int // owned by watch until it has ended
}

func (c *crowd) watch(done <-chan struct{}) {
	for {
		if text, err := os.ReadFile("/proc/loadavg"); err == nil {
			var one, five, fifteen float64
			var now int
			if n, _ := fmt.Sscanf(string(text), "%f %f %f %d/", &one, &five, &fifteen, &now); n == 4 {
				c.runnable, c.samples = c.runnable+now, c.samples+1
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
	return float64(c.runnable) / float64(max(c.samples, 1)*runtime.NumCPU())
}
