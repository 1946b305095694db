//go:build e2e

package chaos

import (
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

// The flow and its checker on one node that is killed: what they say of clusters is not said of an empty history.
func TestFlowOnOneNode(t *testing.T) {
	m := harness.StartMillrace(t, harness.MillraceConfig{})
	createTopic(t, m.Address(), "chaos", 6, nil)
	f := startFlow(t, []string{m.Address()}, flowConfig{careless: 1})
	f.mustProgress("at the start", 10*time.Second, nil)
	time.Sleep(2 * time.Second)
	m.Kill()
	m.Restart()
	f.mustProgress("after the restart", 10*time.Second, nil)
	time.Sleep(2 * time.Second)
	f.finish()
}
