package broker

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transcript is what several goroutines write and another reads.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// A broker asks for its reserve of producer ids once the controller gives it one, and not before: refused, it would stand
// without for a second, and for good when two of three voters are killed within that second.
func TestReserveOfProducerIDsIsNotRefused(t *testing.T) {
	var logged transcript
	brokers := startTrio(t, &logged)
	for i, b := range brokers {
		request := kmsg.NewPtrInitProducerIDRequest()
		request.ProducerID, request.ProducerEpoch = -1, -1
		answer, err := request.RequestWith(t.Context(), kafkaClient(t, b))
		if err == nil {
			err = kerr.ErrorForCode(answer.ErrorCode)
		}
		if err != nil {
			t.Errorf("broker %d gives no producer id: %v", i+1, err)
		}
	}
	for line := range strings.Lines(logged.String()) {
		// That no controller is found, or none answers, may happen while a cluster begins.
		if strings.Contains(line, "no producer ids could be put by") && !strings.Contains(line, "controller") {
			t.Errorf("asked too early: %s", line)
		}
	}
}
