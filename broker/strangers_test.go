package broker

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestStrangersAreForgotten(t *testing.T) {
	now := time.Unix(1000, 0)
	var logged bytes.Buffer
	s := newStrangers(func() time.Time { return now }, slog.New(slog.NewTextHandler(&logged, nil)))
	if err := s.fault(); err != nil {
		t.Errorf("nobody refused: %v", err)
	}
	for range 100 {
		s.refused("10.0.0.1:9192")
	}
	if err := s.fault(); err == nil || !strings.Contains(err.Error(), "10.0.0.1:9192") {
		t.Errorf("refused: %v", err)
	}
	if lines := strings.Count(logged.String(), "\n"); lines != 1 {
		t.Errorf("%d lines about one node", lines)
	}
	now = now.Add(strangerFor + time.Second)
	if err := s.fault(); err != nil {
		t.Errorf("it was long ago: %v", err)
	}
}

// logBuffer is a log that is read while it is written.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestNodeWithAnotherTokenSaysSo(t *testing.T) {
	voters := freeVoters(t)
	var logged logBuffer
	health := freeVoters(t)[0].Address
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	started := make(chan error, len(voters))
	for i, v := range voters {
		token, http, logger := "right", "127.0.0.1:0", slog.New(slog.NewTextHandler(t.Output(), nil)).With("node", v.NodeID)
		if i == 2 {
			token, http, logger = "wrong", health, slog.New(slog.NewTextHandler(&logged, nil))
		}
		b, err := New(Config{
			NodeID: v.NodeID, Directory: t.TempDir(), KafkaAddress: "127.0.0.1:0", HTTPAddress: http, ShutdownGrace: 10 * time.Second,
			Cluster: Cluster{Address: v.Address, InitialVoters: voters, Token: token},
		}, logger)
		if err != nil {
			t.Fatal(err)
		}
		go func() { started <- b.Start(ctx) }()
	}
	defer func() {
		cancel()
		faults := ""
		for range voters {
			if err := <-started; err != nil {
				faults += err.Error()
			}
		}
		if !strings.Contains(faults, "cluster.token of this node is not that of") {
			t.Errorf("the starts ended with %s", faults)
		}
	}()
	reason := ""
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(reason, "cluster.token") || !strings.Contains(logged.String(), "cluster.token"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("health says %q, the log:\n%s", reason, logged.String())
		}
		reason = startReason(health)
	}
}

// startReason is what the readiness of a node says of its start.
func startReason(address string) string {
	answer, err := http.Get("http://" + address + "/healthz/ready")
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	var report struct {
		Checks []struct{ Name, Reason string }
	}
	if json.Unmarshal(body, &report) != nil {
		return ""
	}
	for _, check := range report.Checks {
		if check.Name == "start" {
			return check.Reason
		}
	}
	return ""
}
