package gateway

import (
	"cmp"
	"container/heap"
	"context"
	"iter"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

// LagSource is what the lag metric is computed from.
type LagSource interface {
	// CommittedOffsets yields the committed offsets of the groups that this broker coordinates.
	CommittedOffsets(ctx context.Context) iter.Seq[group.CommittedOffset]
	// EndOffsets returns, in the order of offsets, at which offset a consumer of each partition has caught up; negative where
	// that is not known.
	EndOffsets(ctx context.Context, offsets []group.CommittedOffset) []int64
}

const lagTimeout = 10 * time.Second

// lagCollector computes lag at each scrape, for at most limit series: the first ones by group, topic and partition, so
// that every scrape shows the same.
type lagCollector struct {
	source  LagSource
	limit   int
	lag     *prometheus.Desc
	leftOut prometheus.Counter
}

func newLagCollector(source LagSource, limit int) *lagCollector {
	if limit == 0 {
		limit = defaultMaxLagSeries
	}
	return &lagCollector{
		source: source, limit: limit,
		lag: prometheus.NewDesc("millrace_consumer_group_lag",
			"Records between a group's committed offset and the end of the partition.", []string{"group", "topic", "partition"}, nil),
		leftOut: prometheus.NewCounter(prometheus.CounterOpts{Name: "millrace_consumer_group_lag_dropped_series_total",
			Help: "Lag series that scrapes left out because there are too many, or because the group's id is not text."}),
	}
}

// Describe implements prometheus.Collector.
func (l *lagCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- l.lag
	l.leftOut.Describe(descs)
}

// Collect implements prometheus.Collector.
func (l *lagCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), lagTimeout)
	defer cancel()
	offsets := l.first(ctx)
	for i, end := range l.source.EndOffsets(ctx, offsets) {
		if end < 0 {
			continue
		}
		one := offsets[i]
		metrics <- prometheus.MustNewConstMetric(l.lag, prometheus.GaugeValue, float64(max(end-one.Offset, 0)),
			one.Group, one.Topic, strconv.Itoa(int(one.Partition)))
	}
	l.leftOut.Collect(metrics)
}

// first returns the first offsets in order, up to the limit, in memory bounded by it.
func (l *lagCollector) first(ctx context.Context) []group.CommittedOffset {
	var kept offsetHeap
	for one := range l.source.CommittedOffsets(ctx) {
		if one.Tenant != security.DefaultTenant {
			continue // another tenant's names are none of this page's business
		}
		if !utf8.ValidString(one.Group) || !utf8.ValidString(one.Topic) {
			l.leftOut.Inc()
			continue
		}
		if len(kept) < l.limit {
			heap.Push(&kept, one)
			continue
		}
		l.leftOut.Inc()
		if compareOffsets(one, kept[0]) < 0 {
			kept[0] = one
			heap.Fix(&kept, 0)
		}
	}
	slices.SortFunc(kept, compareOffsets)
	return slices.CompactFunc(kept, func(a, b group.CommittedOffset) bool { return compareOffsets(a, b) == 0 })
}

func compareOffsets(a, b group.CommittedOffset) int {
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
}

// offsetHeap has the last offset in order on top.
type offsetHeap []group.CommittedOffset

func (h offsetHeap) Len() int           { return len(h) }
func (h offsetHeap) Less(i, j int) bool { return compareOffsets(h[i], h[j]) > 0 }
func (h offsetHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *offsetHeap) Push(x any) { *h = append(*h, x.(group.CommittedOffset)) }

// Pop implements heap.Interface. Nothing here pops.
func (h *offsetHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
