package controller

import (
	"strconv"
	"testing"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// trioImage has ten thousand partitions on three brokers, which share the leaderships.
func trioImage(b *testing.B) (*Controller, *image.Image) {
	c, e := New(config.NewResolver(1, nil)), image.Empty().Edit(1)
	for id := int32(1); id <= 3; id++ {
		if err := e.PutBroker(&image.Broker{ID: id}); err != nil {
			b.Fatal(err)
		}
	}
	for i := range 10 {
		parts := make([]*image.Partition, 1000)
		for j := range parts {
			replicas := []int32{1 + int32(j%3), 1 + int32((j+1)%3), 1 + int32((j+2)%3)}
			parts[j] = &image.Partition{Replicas: replicas, ISR: replicas, Leader: replicas[0]}
		}
		if err := e.CreateTopic(image.NewTopic(image.TopicID{byte(i + 1)}, "default", strconv.Itoa(i), false, nil, parts)); err != nil {
			b.Fatal(err)
		}
	}
	img, _ := e.Done()
	return c, img
}

// What it costs the controller to plan that a broker with ten thousand replicas stops, and each node to take that in.
func BenchmarkShutDownOfABrokerWithTenThousandPartitions(b *testing.B) {
	c, img := trioImage(b)
	b.Run("plan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.ShutDownBroker(img, 1)
		}
	})
	group := c.ShutDownBroker(img, 1)
	entry := command.Encode([]command.Group{group})
	b.Run("encode", func(b *testing.B) {
		b.ReportMetric(float64(len(entry)), "entry-bytes")
		for b.Loop() {
			command.Encode([]command.Group{group})
		}
	})
	b.Run("decode and apply", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			groups, err := command.Decode(entry)
			if err != nil {
				b.Fatal(err)
			}
			if _, refusals := command.Apply(img, 2, groups, image.NewChanges()); refusals[0] != nil {
				b.Fatal(refusals[0])
			}
		}
	})
	b.Run("does it lead", func(b *testing.B) {
		for b.Loop() {
			Leads(img, 9)
		}
	})
}
