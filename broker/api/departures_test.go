package api

import (
	"context"
	"slices"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/metadata/controller"
)

// dying are departures that find a broker gone when it is about to be told of.
type dying struct {
	t      testing.TB
	s      *Services
	broker int32

	mu    sync.Mutex
	asked [][]int32 // guarded by mu
}

// Confirm implements Services.Departures.
func (d *dying) Confirm(ctx context.Context, leaders []int32) bool {
	d.mu.Lock()
	d.asked = append(d.asked, slices.Sorted(slices.Values(leaders)))
	d.mu.Unlock()
	if !slices.Contains(leaders, d.broker) {
		return true
	}
	epoch := d.s.Metadata.Image().Broker(d.broker).Epoch
	if answer, err := d.s.Metadata.Heartbeat(ctx, controller.Heartbeat{BrokerID: d.broker, BrokerEpoch: epoch, WantFence: true}); err != nil || !answer.Fenced {
		d.t.Errorf("fenced: %+v, %v", answer, err)
	}
	return false
}

// mustHaveBeenAsked says that it was once, for these brokers.
func (d *dying) mustHaveBeenAsked(want ...int32) {
	d.t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.asked) != 1 || !slices.Equal(d.asked[0], want) {
		d.t.Errorf("asked for %v, want once for %v", d.asked, want)
	}
}

// Whoever would be told of a broker that turns out to be gone is told who came after it, and nobody else is asked for.
func TestNobodyIsToldOfABrokerThatIsGone(t *testing.T) {
	for version := int16(0); version <= 13; version++ {
		s := testServices(t, nil)
		register(t, s, 2)
		register(t, s, 3)
		placed(t, s, "rides", []int32{2, 1}, []int32{1, 2}, []int32{2, 1})
		placed(t, s, "others", []int32{3, 1})
		d := &dying{t: t, s: s, broker: 2}
		s.Departures = d
		r := kmsg.NewPtrMetadataRequest()
		r.Version = version
		r.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("rides")}}
		answer, err := dial(t, testServer(t, s)).ask(r)
		if err != nil {
			t.Fatal(err)
		}
		metadata := answer.(*kmsg.MetadataResponse)
		for _, b := range metadata.Brokers {
			if b.NodeID == 2 {
				t.Errorf("version %d: the broker that is gone is listed", version)
			}
		}
		for _, p := range metadata.Topics[0].Partitions {
			if p.Leader != 1 {
				t.Errorf("version %d: partition %d is led by %d, want 1", version, p.Partition, p.Leader)
			}
		}
		d.mustHaveBeenAsked(1, 2)
	}
}

func TestNobodyIsToldOfACoordinatorThatIsGone(t *testing.T) {
	for version := int16(0); version <= 6; version++ {
		s := testServices(t, nil)
		register(t, s, 2)
		s.Groups = group.New(group.Config{PartitionCount: func() int32 { return 1 }})
		t.Cleanup(s.Groups.Close)
		placed(t, s, groupMetadataTopic, []int32{2, 1})
		d := &dying{t: t, s: s, broker: 2}
		s.Departures = d
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.Version = version
		r.CoordinatorKey, r.CoordinatorKeys = "group", []string{"group"}
		answer, err := dial(t, testServer(t, s)).ask(r)
		if err != nil {
			t.Fatal(err)
		}
		found := answer.(*kmsg.FindCoordinatorResponse)
		coordinator := found.NodeID
		if version >= 4 {
			coordinator = found.Coordinators[0].NodeID
		}
		if coordinator != 1 {
			t.Errorf("version %d: coordinated by %d, want 1", version, coordinator)
		}
		d.mustHaveBeenAsked(2)
	}
}
