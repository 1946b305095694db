package metadata

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

func TestRequestsAfterCloseAreRetriable(t *testing.T) {
	n := start(t, testConfig(""))
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := n.CreateTopics(ctx, "default", []controller.NewTopic{newTopic("late", 1)}, false)[0].Err
	var code *kerr.Error
	if !errors.As(err, &code) || !code.Retriable {
		t.Errorf("after Close: %v, want a retriable error", err)
	}
}

func TestMetricsAreCleanAndGoWithClose(t *testing.T) {
	registry := prometheus.NewRegistry()
	cfg := testConfig("")
	cfg.Registerer = registry
	n := start(t, cfg)
	create(t, n, newTopic("a", 7))
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "millrace_metadata_partitions" && f.Metric[0].GetGauge().GetValue() != 7 {
			t.Errorf("partitions: %v", f.Metric[0])
		}
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if families, _ := registry.Gather(); len(families) != 0 {
		t.Errorf("%d metrics are left after Close", len(families))
	}
}

func TestEntryOfANewerReleaseStopsTheNode(t *testing.T) {
	n := start(t, testConfig(""))
	if _, _, err := n.quorum.Propose([]byte{9, 9, 9}); err == nil {
		t.Error("an entry of a newer format was acknowledged")
	}
	<-n.Failed()
	if n.IsController() || n.Err() == nil {
		t.Errorf("controller %v, error %v", n.IsController(), n.Err())
	}
	err := n.CreateTopics(t.Context(), "default", []controller.NewTopic{newTopic("late", 1)}, false)[0].Err
	var code *kerr.Error
	if !errors.As(err, &code) || !code.Retriable {
		t.Errorf("a failed node answers %v, want a retriable error", err)
	}
}

func TestOutcomeThatIsNotKnownIsRetriable(t *testing.T) {
	n := start(t, testConfig(""))
	ctx, cancel := context.WithCancel(t.Context())
	planning, hold := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := n.change(ctx, func(*image.Image) command.Group { close(planning); <-hold; return nil })
		done <- err
	}()
	<-planning
	cancel()
	err := <-done
	close(hold)
	var code *kerr.Error
	if !errors.As(err, &code) || code != kerr.RequestTimedOut {
		t.Errorf("a request whose caller gave up: %v, want REQUEST_TIMED_OUT", err)
	}
}

// A refusal that was judged by an earlier request of the same entry is as uncertain as that one: when the entry is lost,
// the topic that was in the way never was.
func TestRefusalByALostEntryIsRetriable(t *testing.T) {
	n := start(t, testConfig(""))
	planning, hold := make(chan struct{}), make(chan struct{})
	queue := func(plan plan) *proposal {
		one := &proposal{plan: plan, done: make(chan outcome, 1)}
		n.proposer.queue <- one
		return one
	}
	queue(func(*image.Image) command.Group { close(planning); <-hold; return nil })
	<-planning
	topics := []controller.NewTopic{newTopic("same", 1)}
	first := queue(func(img *image.Image) command.Group {
		_, group := n.controller.CreateTopics(img, "default", topics)
		return group
	})
	second := make(chan error)
	go func() { second <- n.CreateTopics(t.Context(), "default", topics, false)[0].Err }()
	for len(n.proposer.queue) < 2 {
		time.Sleep(time.Millisecond)
	}
	queue(func(*image.Image) command.Group {
		_, _, _ = n.quorum.Propose([]byte{9, 9, 9}) // an entry of a newer release ends the node
		return nil
	})
	close(hold)
	if result := <-first.done; result.err == nil {
		t.Fatalf("the entry was not lost: %+v", result)
	}
	err := <-second
	var code *kerr.Error
	if !errors.As(err, &code) || !code.Retriable {
		t.Errorf("who came second is answered %v, want a retriable error", err)
	}
}

func TestQuorumState(t *testing.T) {
	n := start(t, testConfig(""))
	create(t, n, newTopic("a", 1))
	q := n.Quorum()
	if q.LeaderID != 1 || len(q.Voters) != 1 || q.Voters[0].LogEndOffset != q.HighWatermark || q.LeaderEpoch != 2 || q.Voters[0].LastCaughtUpTimestampMillis <= 0 {
		t.Errorf("quorum is %+v", q)
	}
	if id, ok := n.Leader(); id != 1 || !ok {
		t.Errorf("leader is %d, %v", id, ok)
	}
}

func TestValidateOnlyChangesNothing(t *testing.T) {
	n := start(t, testConfig(""))
	before := n.Image().Index()
	r := n.CreateTopics(t.Context(), "default", []controller.NewTopic{newTopic("a", 3)}, true)[0]
	if r.Err != nil || r.PartitionCount != 3 || n.Image().Index() != before {
		t.Errorf("validation said %+v and moved the log from %d to %d", r, before, n.Image().Index())
	}
}
