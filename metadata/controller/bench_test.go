package controller

import (
	"strconv"
	"testing"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// largeImage has ten thousand partitions on six brokers, of which broker 1 holds as many as broker1 says.
func largeImage(b *testing.B, broker1 int) (*Controller, *image.Image) {
	c, e := New(config.NewResolver(1, nil)), image.Empty().Edit(1)
	for id := int32(1); id <= 6; id++ {
		if err := e.PutBroker(&image.Broker{ID: id}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 20 {
		parts := make([]*image.Partition, 500)
		for j := range parts {
			replicas := []int32{2 + int32(j%5), 2 + int32((j+1)%5), 2 + int32((j+2)%5)}
			if i*500+j < broker1 {
				replicas[0] = 1
			}
			parts[j] = &image.Partition{Replicas: replicas, ISR: replicas, Leader: replicas[0]}
		}
		if err := e.CreateTopic(image.NewTopic(image.TopicID{byte(i + 1)}, "default", strconv.Itoa(i), false, nil, parts)); err != nil {
			b.Fatal(err)
		}
	}
	img, _ := e.Done()
	return c, img
}

// What fencing a broker costs, planned and applied: by what it holds, and for looking through all partitions.
func BenchmarkFenceOneBrokerAmongTenThousandPartitions(b *testing.B) {
	for _, held := range []int{0, 10, 2000} {
		b.Run("holds="+strconv.Itoa(held), func(b *testing.B) {
			c, img := largeImage(b, held)
			b.ReportAllocs()
			for b.Loop() {
				command.Apply(img, 2, []command.Group{c.FenceBroker(img, 1)}, image.NewChanges())
			}
		})
	}
}

// What one step of draining and balancing costs when there is nothing to do.
func BenchmarkPlanMovesAmongTenThousandPartitions(b *testing.B) {
	c, img := largeImage(b, 2000)
	for b.Loop() {
		c.PlanMoves(img, nil, true)
	}
}

// What the proposer, and with it every change of the metadata, waits for such a step: it only leaves out what has become
// stale since the step was planned.
func BenchmarkFreshMovesAmongTenThousandPartitions(b *testing.B) {
	c, img := largeImage(b, 9000)
	planned := c.PlanMoves(img, nil, true).Commands
	if len(planned) == 0 {
		b.Fatal("there is nothing to move")
	}
	for b.Loop() {
		Fresh(img, planned)
	}
}
