package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
)

// produceLoad sends one batch over and over to every partition of a topic, a connection each.
type produceLoad struct {
	topic       string
	partitions  int
	recordBytes int
	batchBytes  int // uncompressed
	codec       record.Codec
	inFlight    int
	totalBytes  int64 // of batches as sent, over all partitions
}

// moved says what a load has moved.
type moved struct {
	bytes, records int64
	wall           time.Duration
}

const (
	produceVersion = 9
	fetchVersion   = 12
)

// makeBatch builds one batch of as many records as fit into size bytes (at least one).
func makeBatch(size, recordBytes int, codec record.Codec) (record.Batch, error) {
	random := rand.New(rand.NewPCG(1, 2))
	b := record.NewBuilder(record.BuilderOptions{Codec: codec})
	now := time.Now().UnixMilli()
	for b.Count() == 0 || b.SizeBytes()+recordBytes < size {
		value := make([]byte, recordBytes)
		for i := range value {
			value[i] = byte('a' + (i*7+b.Count())%26)
			if codec != record.None && i >= recordBytes/2 { // half of each record does not compress
				value[i] = byte(random.IntN(64) + 32)
			}
		}
		b.Append(now, nil, value, nil)
	}
	return b.Build()
}

func produceFrame(topic string, partition int32, batch record.Batch) []byte {
	request := kmsg.NewPtrProduceRequest()
	request.Version, request.Acks, request.TimeoutMillis = produceVersion, -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("millrace-bench")).AppendRequest(nil, request, 7)
}

func (l produceLoad) run(address string) (moved, error) {
	batch, err := makeBatch(l.batchBytes, l.recordBytes, l.codec)
	if err != nil {
		return moved{}, err
	}
	each := int(max(l.totalBytes/int64(l.partitions)/int64(len(batch)), 1))
	began := time.Now()
	err = inParallel(l.partitions, func(p int) error {
		return replay(address, produceFrame(l.topic, int32(p), batch), each, l.inFlight)
	})
	n := int64(each) * int64(l.partitions)
	return moved{n * int64(len(batch)), n * int64(batch.Count()), time.Since(began)}, err
}

// replay sends a frame n times with a number of them on the way, and looks at every answer's error code.
func replay(address string, frame []byte, n, inFlight int) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	window := make(chan struct{}, inFlight)
	failed := make(chan error, 1)
	go func() {
		for range n {
			body, err := c.receive(true)
			if err == nil {
				err = produceError(body)
			}
			if err != nil {
				failed <- err
				c.Close()
				return
			}
			<-window
		}
		failed <- nil
	}()
	for range n {
		window <- struct{}{}
		if _, err := c.Write(frame); err != nil {
			return errors.Join(err, <-failed)
		}
	}
	return <-failed
}

// produceError finds the error code in an answer for one partition without decoding the whole.
func produceError(body []byte) error {
	// topics(1), name length, name, partitions(1), index, error code
	if len(body) < 2 {
		return errors.New("a short produce answer")
	}
	at := 2 + int(body[1]) - 1 + 1 + 4
	if len(body) < at+2 {
		return errors.New("a short produce answer")
	}
	if code := int16(binary.BigEndian.Uint16(body[at:])); code != 0 {
		return fmt.Errorf("produce was answered with error code %d", code)
	}
	return nil
}

// fetchLoad reads every partition of a topic from its start, a connection each, until so many bytes were read.
type fetchLoad struct {
	topic      string
	partitions int
	maxBytes   int32
	totalBytes int64
}

func fetchRequest(topic string, partition int32, offset int64, maxBytes int32) *kmsg.FetchRequest {
	request := kmsg.NewPtrFetchRequest()
	request.Version, request.MaxWaitMillis, request.MinBytes, request.MaxBytes = fetchVersion, 500, 1, maxBytes
	request.ReplicaID, request.SessionEpoch = -1, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, maxBytes
	p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset = -1, -1, -1
	t.Partitions = append(t.Partitions, p)
	request.Topics = append(request.Topics, t)
	return request
}

func (l fetchLoad) run(address string) (moved, error) {
	var mu sync.Mutex
	var sum moved
	began := time.Now()
	err := inParallel(l.partitions, func(p int) error {
		m, err := drain(address, l.topic, int32(p), l.maxBytes, l.totalBytes/int64(l.partitions))
		mu.Lock()
		defer mu.Unlock()
		sum.bytes += m.bytes
		sum.records += m.records
		return err
	})
	sum.wall = time.Since(began)
	return sum, err
}

func drain(address, topic string, partition, maxBytes int32, total int64) (moved, error) {
	var m moved
	c, err := dial(address)
	if err != nil {
		return m, err
	}
	defer c.Close()
	var frame []byte
	for offset := int64(0); m.bytes < total; {
		frame = c.format.AppendRequest(frame[:0], fetchRequest(topic, partition, offset, maxBytes), 7)
		if _, err := c.Write(frame); err != nil {
			return m, err
		}
		batches, err := c.receiveFetch()
		if err != nil {
			return m, err
		}
		next := offset
		for len(batches) > 0 {
			b, rest, err := record.Split(batches)
			if err != nil {
				break // the tail may be cut
			}
			next = b.NextOffset()
			m.bytes += int64(len(b))
			m.records += int64(b.Count())
			batches = rest
		}
		if next == offset {
			return m, nil // the end of the log
		}
		offset = next
	}
	return m, nil
}

func (c *connection) receiveFetch() ([]byte, error) {
	body, err := c.receive(true)
	if err != nil {
		return nil, err
	}
	response := kmsg.NewPtrFetchResponse()
	response.Version = fetchVersion
	if err := response.ReadFrom(body); err != nil {
		return nil, err
	}
	p := response.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return nil, fmt.Errorf("fetch was answered with error code %d", p.ErrorCode)
	}
	return p.RecordBatches, nil
}

// endToEndLoad sends one record a request at a fixed rate, on schedule whatever the answers do (open loop), and reads it
// back on a second connection; delays count from the scheduled instant.
type endToEndLoad struct {
	topic         string
	ratePerSecond int
	recordBytes   int
	lasts         time.Duration
}

// delays are the percentiles of one open-loop run.
type delays struct{ p50, p99, p999 time.Duration }

func (l endToEndLoad) run(address string) (delays, error) {
	batch, err := makeBatch(1, l.recordBytes, record.None)
	if err != nil {
		return delays{}, err
	}
	n := int(l.lasts.Seconds() * float64(l.ratePerSecond))
	out, err := dial(address)
	if err != nil {
		return delays{}, err
	}
	defer out.Close()
	in, err := dial(address)
	if err != nil {
		return delays{}, err
	}
	defer in.Close()
	began := time.Now().Add(20 * time.Millisecond)
	due := func(i int) time.Time {
		return began.Add(time.Duration(i) * time.Second / time.Duration(l.ratePerSecond))
	}
	late := make([]time.Duration, n)
	errs := make(chan error, 2)
	go func() { errs <- in.readOnTime(l.topic, late, due) }()
	go func() {
		for range n {
			body, err := out.receive(true)
			if err == nil {
				err = produceError(body)
			}
			if err != nil {
				errs <- err
				return
			}
		}
		errs <- nil
	}()
	frame := produceFrame(l.topic, 0, batch)
	for i := range n {
		if wait := time.Until(due(i)); wait > 0 {
			ts := syscall.NsecToTimespec(int64(wait)) // the runtime's own timers are too coarse here
			_ = syscall.Nanosleep(&ts, nil)
		}
		if _, err := out.Write(frame); err != nil {
			return delays{}, err
		}
	}
	if err := errors.Join(<-errs, <-errs); err != nil {
		return delays{}, err
	}
	slices.Sort(late)
	at := func(q float64) time.Duration { return late[int(float64(n-1)*q)] }
	return delays{at(0.5), at(0.99), at(0.999)}, nil
}

// readOnTime reads as many records as late has places from the start of a fresh topic and notes how late each is.
func (c *connection) readOnTime(topic string, late []time.Duration, due func(int) time.Time) error {
	var frame []byte
	for offset := int64(0); offset < int64(len(late)); {
		frame = c.format.AppendRequest(frame[:0], fetchRequest(topic, 0, offset, 1<<20), 7)
		if _, err := c.Write(frame); err != nil {
			return err
		}
		batches, err := c.receiveFetch()
		if err != nil {
			return err
		}
		now := time.Now()
		for len(batches) > 0 {
			b, rest, err := record.Split(batches)
			if err != nil {
				return err
			}
			for ; offset < b.NextOffset() && offset < int64(len(late)); offset++ {
				late[offset] = now.Sub(due(int(offset)))
			}
			batches = rest
		}
	}
	return nil
}

func inParallel(n int, do func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
