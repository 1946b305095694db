package main

import (
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A leader that is away must not keep a reader from partitions that are well: only what is read is asked for.
func TestPlanWindowsAsksOnlyForWhatIsWanted(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	var mu sync.Mutex
	asked := map[int32]int{}
	cluster.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, topic := range request.(*kmsg.ListOffsetsRequest).Topics {
			for _, p := range topic.Partitions {
				asked[p.Partition]++
			}
		}
		return nil, nil, false
	})
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	at := time.UnixMilli(1_000_000)
	for i := range 3 {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Partition: 1, Timestamp: at.Add(time.Duration(i) * time.Second)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		text        string
		from, until int64
	}{
		{"start:end", 0, 3}, {"-1:end", 2, 3}, {"@1001000:1002000", 1, 2}, {"@1001000:9999999", 1, 3},
	} {
		r, err := parseOffsets(c.text, at)
		if err != nil {
			t.Fatal(err)
		}
		windows, err := planWindows(t.Context(), client, map[string][]int32{"orders": {1}}, r, false)
		if err != nil || len(windows) != 1 || windows[0].partition != 1 || windows[0].from != c.from || windows[0].until != c.until {
			t.Errorf("%s is %+v, %v; want %d to %d of partition 1", c.text, windows, err, c.from, c.until)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) != 1 || asked[1] == 0 {
		t.Errorf("asked for partitions %v (partition: times), wanted is 1", asked)
	}
}
