//go:build e2e

package clients

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// load is a producer of the test's own that writes to all partitions of a topic, one after the other, until it is stopped.
type load struct {
	stop chan struct{}
	once sync.Once
	done chan struct{}

	values []string // what was acknowledged; read after done
	err    error    // read after done
}

func startLoad(address, topic string, partitions int) *load {
	l := &load{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		c := &cell{address: address}
		for first := true; first || !l.stopped(); first = false {
			values := make([]string, 2*partitions)
			for i := range values {
				values[i] = fmt.Sprintf("load/%d", len(l.values)+i)
			}
			if l.err = send(c, topic, partitions, values...); l.err != nil {
				return
			}
			l.values = append(l.values, values...)
		}
	}()
	return l
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	case <-time.After(20 * time.Millisecond):
		return false
	}
}

// end stops the producer and returns what it has written.
func (l *load) end() ([]string, error) {
	l.once.Do(func() { close(l.stop) })
	<-l.done
	if l.err != nil {
		return nil, fmt.Errorf("produce under load: %w", l.err)
	}
	return l.values, nil
}

// send writes values, which are their keys, too, to a topic's partitions in turn.
func send(c *cell, topic string, partitions int, values ...string) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		records := make([]*kgo.Record, len(values))
		for i, value := range values {
			records[i] = &kgo.Record{Topic: topic, Partition: int32(i % partitions), Key: []byte(value), Value: []byte(value)}
		}
		return k.ProduceSync(ctx, records...).FirstErr()
	}, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(20))
}

func createTopic(c *cell, topic string, partitions int) error {
	return withClient(c, func(ctx context.Context, k *kgo.Client) error {
		_, err := kadm.NewClient(k).CreateTopic(ctx, int32(partitions), -1, nil, topic)
		return err
	})
}

// inTurn does one step after the other until one fails.
func inTurn(steps ...func() error) error {
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d: %w", i+1, err)
		}
	}
	return nil
}
