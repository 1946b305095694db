package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/record"
)

// compactionLoad fills a compacted topic of one partition while it may not be cleaned, lets it be cleaned, and looks at
// what that costs.
type compactionLoad struct {
	codec      record.Codec
	keys       int
	batchBytes int   // uncompressed
	totalBytes int64 // of batches as sent
}

const (
	compactionSegmentBytes = 64 << 20
	// distinctBytes of batches are made; they are sent over and over.
	distinctBytes = 96 << 20
	cleanedWithin = 4 * time.Minute
	idleFor       = 2 * time.Second
	valueBytes    = 100
)

// run returns the CPU seconds of the broker per GB cleaned, less what it takes when idle, and those of the threads that
// are named after the cleaner, where there are any: the rest is the collector's and the compiler's.
func (l compactionLoad) run(ctx context.Context, p *peer) (figures, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanedWithin)
	defer cancel()
	p.topics++
	topic := fmt.Sprintf("bench-%d", p.topics)
	configs := map[string]string{
		"cleanup.policy": "compact", "segment.bytes": strconv.Itoa(compactionSegmentBytes), "min.cleanable.dirty.ratio": "1",
	}
	if p.name != "kafka" {
		configs["write.caching"] = "true"
	}
	if err := createTopic(ctx, p.address, topic, 1, configs); err != nil {
		return nil, err
	}
	if err := l.fill(p.address, topic); err != nil {
		return nil, err
	}
	dir, err := p.logOf(topic)
	if err != nil {
		return nil, err
	}
	if p.name != "kafka" { // it cleans below what a recovery would read
		if err := p.awaitCheckpoint(ctx, dir, "recovery-point-offset-checkpoint"); err != nil {
			return nil, err
		}
	}
	return p.cleaned(ctx, dir, topic)
}

// fill sends batches of random keys one after the other, a few on the way.
func (l compactionLoad) fill(address, topic string) error {
	random := rand.New(rand.NewPCG(3, 4))
	var frames [][]byte
	size := int64(0)
	for made := 0; made < distinctBytes && size < l.totalBytes; made += l.batchBytes {
		batch, err := l.batch(random)
		if err != nil {
			return err
		}
		frames = append(frames, produceFrame(topic, 0, batch))
		size += int64(len(batch))
	}
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	n := int(l.totalBytes / (size / int64(len(frames))))
	return c.pipeline(n, func(i int) []byte { return frames[i%len(frames)] })
}

func (l compactionLoad) batch(random *rand.Rand) (record.Batch, error) {
	b := record.NewBuilder(record.BuilderOptions{Codec: l.codec})
	now := time.Now().UnixMilli()
	value := make([]byte, valueBytes)
	for b.Count() == 0 || b.SizeBytes()+valueBytes < l.batchBytes {
		for i := range value {
			value[i] = byte('a' + (i*7)%26)
			if i >= valueBytes/2 { // half of each record does not compress
				value[i] = byte(random.IntN(64) + 32)
			}
		}
		b.Append(now, fmt.Appendf(nil, "key-%08d", random.IntN(l.keys)), value, nil)
	}
	return b.Build()
}

// pipeline sends n frames with five on the way and looks at every answer's error code.
func (c *connection) pipeline(n int, frame func(i int) []byte) error {
	window, failed := make(chan struct{}, 5), make(chan error, 1)
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
	for i := range n {
		window <- struct{}{}
		if _, err := c.Write(frame(i)); err != nil {
			return errors.Join(err, <-failed)
		}
	}
	return <-failed
}

// logOf finds the directory of a partition below the broker's data.
func (p *peer) logOf(topic string) (string, error) {
	for _, pattern := range []string{"/", "/*/", "/*/*/"} {
		if found, err := filepath.Glob(p.dataDir + pattern + topic + "-0"); err != nil || len(found) > 0 {
			return slices.Concat(found, []string{""})[0], err
		}
	}
	return "", fmt.Errorf("no log of %s below %s", topic, p.dataDir)
}

// cleaned lets the topic be cleaned and waits for it.
func (p *peer) cleaned(ctx context.Context, dir, topic string) (figures, error) {
	before, err := sealedBytes(dir)
	if err != nil {
		return nil, err
	}
	idle, err := p.cpu()
	if err != nil {
		return nil, err
	}
	time.Sleep(idleFor)
	start, err := p.cpu()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	if err := alterTopic(p.address, topic, "min.cleanable.dirty.ratio", "0.001"); err != nil {
		return nil, err
	}
	if err := p.awaitCheckpoint(ctx, dir, "cleaner-offset-checkpoint"); err != nil {
		return nil, err
	}
	lasted := time.Since(began)
	end, err := p.cpu()
	if err != nil {
		return nil, err
	}
	after, err := sealedBytes(dir)
	perSecondIdle := (start.process - idle.process).Seconds() / idleFor.Seconds()
	gb := float64(before) / 1e9
	return figures{
		cpuPerGB:       ((end.process - start.process).Seconds() - perSecondIdle*lasted.Seconds()) / gb,
		"thread s/GB":  (end.cleaner - start.cleaner).Seconds() / gb,
		"GB":           gb,
		"GB left":      float64(after) / 1e9,
		"idle cpu s/s": perSecondIdle,
	}, err
}

// segments lists the data files of a log, the oldest first.
func segments(dir string) ([]string, error) {
	names, err := filepath.Glob(dir + "/*.log")
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("no segment in %s", dir)
	}
	slices.Sort(names)
	return names, err
}

// sealedBytes is the size of all segments but the last.
func sealedBytes(dir string) (sum int64, err error) {
	names, err := segments(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names[:len(names)-1] {
		info, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

// awaitCheckpoint waits until the file beside the log, which both brokers write alike, has passed all segments but the last.
func (p *peer) awaitCheckpoint(ctx context.Context, dir, file string) error {
	names, err := segments(dir)
	if err != nil {
		return err
	}
	end, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(names[len(names)-1]), ".log"), 10, 64)
	if err != nil {
		return err
	}
	topic := strings.TrimSuffix(filepath.Base(dir), "-0")
	for {
		text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) != 3 || fields[0] != topic {
				continue
			}
			if offset, err := strconv.ParseInt(fields[2], 10, 64); err == nil && offset >= end {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s of %s does not pass offset %d of %s: %w", file, p.name, end, topic, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// cpuTimes are those of the broker, and of its threads that are named after the cleaner.
type cpuTimes struct{ process, cleaner time.Duration }

func (p *peer) cpu() (t cpuTimes, err error) {
	if t.process, err = cpuTime(p.pid()); err != nil {
		return t, err
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.pid()))
	for _, task := range tasks {
		name, err := os.ReadFile(task + "/comm")
		if err != nil || !strings.HasPrefix(string(name), "kafka-log-clean") {
			continue // or it has ended
		}
		one, err := taskTime(task + "/stat")
		if err != nil {
			return t, err
		}
		t.cleaner += one
	}
	return t, err
}

// alterTopic sets one configuration of a topic.
func alterTopic(address, topic, key, value string) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	request := kmsg.NewPtrIncrementalAlterConfigsRequest()
	request.Version = 1
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	one := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	one.Name, one.Value = key, kmsg.StringPtr(value)
	r.Configs = append(r.Configs, one)
	request.Resources = append(request.Resources, r)
	response := kmsg.NewPtrIncrementalAlterConfigsResponse()
	response.Version = 1
	if err := c.ask(request, response); err != nil {
		return fmt.Errorf("alter topic %s: %w", topic, err)
	}
	if code := response.Resources[0].ErrorCode; code != 0 {
		return fmt.Errorf("alter topic %s: error code %d", topic, code)
	}
	return nil
}
