package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	demoTopic      = "rides"
	demoGroup      = "rides-dashboard"
	demoPartitions = 6
	demoDrivers    = 40
	demoInterval   = 100 * time.Millisecond
)

// ridePosition is one record of the demo stream: where a driver is, keyed by the driver.
type ridePosition struct {
	Driver    string  `json:"driver"`
	Ride      int     `json:"ride"`
	Status    string  `json:"status"` // free, pickup or occupied
	Latitude  float64 `json:"lat"`
	Longitude float64 `json:"lon"`
	SpeedKmh  float64 `json:"speed_kmh"`
	Time      string  `json:"time"`
}

// demo feeds and reads the sample stream until stop.
type demo struct {
	cancel   context.CancelFunc
	finished sync.WaitGroup
	clients  []*kgo.Client
}

func startDemo(ctx context.Context, addresses ...string) (*demo, error) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(addresses...), kgo.ClientID("millrace-demo"), kgo.DefaultProduceTopic(demoTopic), kgo.ProducerLinger(20*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("start demo: %w", err)
	}
	created, err := kadm.NewClient(producer).CreateTopic(ctx, demoPartitions, -1, nil, demoTopic)
	if err == nil {
		err = created.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		producer.Close()
		return nil, fmt.Errorf("create demo topic %s: %w", demoTopic, err)
	}
	consumer, err := kgo.NewClient(kgo.SeedBrokers(addresses...), kgo.ClientID("millrace-demo"), kgo.ConsumerGroup(demoGroup), kgo.ConsumeTopics(demoTopic))
	if err != nil {
		producer.Close()
		return nil, fmt.Errorf("start demo: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	d := &demo{cancel: cancel, clients: []*kgo.Client{consumer, producer}}
	d.finished.Go(func() { feedRides(ctx, producer) })
	d.finished.Go(func() {
		for ctx.Err() == nil {
			consumer.PollFetches(ctx)
		}
	})
	return d, nil
}

func (d *demo) stop() {
	d.cancel()
	d.finished.Wait()
	for _, c := range d.clients {
		c.Close()
	}
}

// feedRides moves every driver a little each round and writes where they are.
func feedRides(ctx context.Context, producer *kgo.Client) {
	cars := make([]ridePosition, demoDrivers)
	heading := make([]float64, demoDrivers)
	for i := range cars {
		cars[i] = ridePosition{
			Driver: fmt.Sprintf("driver-%02d", i+1), Status: "free",
			Latitude: 52.52 + rand.NormFloat64()*0.03, Longitude: 13.405 + rand.NormFloat64()*0.05,
		}
		heading[i] = rand.Float64() * 2 * math.Pi
	}
	tick := time.NewTicker(demoInterval)
	defer tick.Stop()
	rides := 0
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			i := rand.IntN(len(cars))
			c := &cars[i]
			if rand.IntN(20) == 0 {
				switch c.Status {
				case "free":
					rides++
					c.Status, c.Ride = "pickup", rides
				case "pickup":
					c.Status = "occupied"
				default:
					c.Status, c.Ride = "free", 0
				}
			}
			heading[i] += rand.NormFloat64() * 0.4
			c.SpeedKmh = math.Round(rand.Float64()*500) / 10
			step := c.SpeedKmh / 111_000
			c.Latitude = round5(c.Latitude + step*math.Cos(heading[i]))
			c.Longitude = round5(c.Longitude + step*math.Sin(heading[i]))
			c.Time = now.UTC().Format(time.RFC3339Nano)
			value, _ := json.Marshal(c)
			producer.Produce(ctx, &kgo.Record{Key: []byte(c.Driver), Value: value}, nil)
		}
	}
}

func round5(v float64) float64 { return math.Round(v*1e5) / 1e5 }
