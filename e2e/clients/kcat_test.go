//go:build e2e

package clients

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// kcat does each feature with one call of the program or a few.
type kcat struct{ path string }

func (k *kcat) run(c *cell) error {
	features := map[string]func(*cell) error{
		"produce": k.produce, "fields": k.fields, "idempotence": k.idempotence, "start": k.start, "end": k.end, "time": k.time, "group": k.group, "commits": k.commits,
	}
	return features[c.feature.verb](c)
}

func (k *kcat) call(c *cell, input string, args ...string) (string, error) {
	return execute(c, input, append([]string{k.path, "-b", c.address, "-q"}, args...)...)
}

func lines(prefix string, n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "%s%d\n", prefix, i)
	}
	return out.String()
}

func (k *kcat) produce(c *cell) error {
	for _, codec := range c.codecs {
		input := produceLines(c, codec, ":")
		if _, err := k.call(c, input, "-P", "-t", c.topic, "-p", "0", "-K", ":", "-z", codec, "-X", "acks="+c.feature.acks); err != nil {
			return err
		}
	}
	return nil
}

// produceLines are the records of a produce cell as lines of key and value.
func produceLines(c *cell, codec, separator string) string {
	var out strings.Builder
	for i := range c.count {
		fmt.Fprintf(&out, "%d%s%s/%s/%d %s\n", i, separator, codec, c.feature.acks, i, strings.Repeat("payload ", 20))
	}
	return out.String()
}

func (k *kcat) fields(c *cell) error {
	if _, err := k.call(c, "key:value\n", "-P", "-t", c.topic, "-p", "0", "-K", ":", "-H", "one=1", "-H", "two=2"); err != nil {
		return err
	}
	if _, err := k.call(c, "gone:\n", "-P", "-t", c.topic, "-p", "0", "-K", ":", "-Z"); err != nil {
		return err
	}
	before := time.Now().Add(-time.Minute).UnixMilli()
	out, err := k.call(c, "", "-C", "-t", c.topic, "-p", "0", "-o", "beginning", "-e", "-f", "%T|%k|%S|%s|%h\n")
	if err != nil {
		return err
	}
	var at int64
	var rest string
	if _, err := fmt.Sscanf(strings.Replace(out, "|", " ", 1), "%d %s", &at, &rest); err != nil || at < before {
		return fmt.Errorf("timestamp in %q: %v", out, err)
	}
	if !strings.Contains(out, "|key|5|value|one=1,two=2\n") || !strings.Contains(out, "|gone|-1||") {
		return fmt.Errorf("read back %q", out)
	}
	return nil
}

func (k *kcat) idempotence(c *cell) error {
	_, err := k.call(c, lines("idempotent/", 1000), "-P", "-t", c.topic, "-p", "0", "-X", "enable.idempotence=true")
	return err
}

func (k *kcat) start(c *cell) error {
	out, err := k.call(c, "", "-C", "-t", c.topic, "-p", "0", "-o", "beginning", "-e")
	if err == nil && out != lines("fill/", filled) {
		err = fmt.Errorf("read %q", shorten(out))
	}
	return err
}

func (k *kcat) time(c *cell) error {
	out, err := k.call(c, "", "-C", "-t", c.topic, "-p", "0", "-o", fmt.Sprintf("s@%d", c.middle.UnixMilli()), "-e")
	if err == nil && out != strings.TrimPrefix(lines("fill/", filled), lines("fill/", filled/2)) {
		err = fmt.Errorf("read %q", shorten(out))
	}
	return err
}

// end starts a reader at the end and produces until it has read enough; it may see nothing that was there before.
func (k *kcat) end(c *cell) error {
	return readWhileProducing(func() (string, error) {
		return k.call(c, "", "-C", "-t", c.topic, "-p", "0", "-o", "end", "-c", "5")
	}, func() error {
		_, err := k.call(c, "after\n", "-P", "-t", c.topic, "-p", "0")
		return err
	})
}

func readWhileProducing(read func() (string, error), produce func() error) error {
	type outcome struct {
		out string
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		out, err := read()
		done <- outcome{out, err}
	}()
	for {
		select {
		case o := <-done:
			if o.err == nil && o.out != strings.Repeat("after\n", 5) {
				o.err = fmt.Errorf("read %q", o.out)
			}
			return o.err
		case <-time.After(100 * time.Millisecond):
			if err := produce(); err != nil {
				return err
			}
		}
	}
}

func (k *kcat) commits(c *cell) error {
	for half := range 2 {
		prefix := fmt.Sprintf("half/%d/", half)
		if _, err := k.call(c, lines(prefix, c.count), "-P", "-t", c.topic, "-p", "0"); err != nil {
			return err
		}
		out, err := k.call(c, "", "-X", "auto.offset.reset=earliest", "-c", fmt.Sprint(c.count), "-G", c.group, c.topic)
		if err != nil || out != lines(prefix, c.count) {
			return fmt.Errorf("half %d: read %q: %w", half, shorten(out), err)
		}
	}
	return nil
}

// group runs members as processes that join and leave while another one produces. A kcat that a signal stops commits the
// record after the last one it printed (with any broker), so its members commit nothing here; "commits" is a cell of its own.
func (k *kcat) group(c *cell) error {
	begin := func() (*lineReader, error) {
		return startReader(k.path, "-b", c.address, "-q", "-u", "-X", "auto.offset.reset=earliest", "-X", "enable.auto.offset.store=false", "-X", "session.timeout.ms=10000",
			"-X", "heartbeat.interval.ms=300", "-G", c.group, c.topic)
	}
	load := func(stop *atomic.Bool) (int, error) {
		n := 0
		for ; !stop.Load(); n += 60 {
			if _, err := k.call(c, numbered(n, 60), "-P", "-t", c.topic, "-X", "partitioner=random", "-X", "sticky.partitioning.linger.ms=0"); err != nil {
				return n, err
			}
		}
		return n, nil
	}
	return shareLoad(begin, load)
}

func numbered(first, n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "load/%d\n", first+i)
	}
	return out.String()
}

// lineReader is a member that prints a record a line; it is stopped by SIGTERM, upon which it leaves its group.
type lineReader struct {
	cmd      *exec.Cmd
	mu       sync.Mutex
	values   []string // guarded by mu
	finished chan struct{}
}

func startReader(command ...string) (*lineReader, error) {
	r := &lineReader{cmd: exec.Command(command[0], command[1:]...), finished: make(chan struct{})}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(r.finished)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			r.mu.Lock()
			r.values = append(r.values, scanner.Text())
			r.mu.Unlock()
		}
		_, _ = io.Copy(io.Discard, out)
		_ = r.cmd.Wait()
	}()
	return r, nil
}

func (r *lineReader) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.values[:len(r.values):len(r.values)]
}

func (r *lineReader) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.finished:
	case <-time.After(20 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.finished
	}
}

// shareLoad is the feature "groups under load" for clients that are whole programs.
func shareLoad(begin func() (*lineReader, error), load func(stop *atomic.Bool) (int, error)) error {
	var stop atomic.Bool
	type outcome struct {
		n   int
		err error
	}
	produced := make(chan outcome, 1)
	go func() {
		n, err := load(&stop)
		produced <- outcome{n, err}
	}()
	var readers []*lineReader
	defer func() {
		stop.Store(true)
		for _, r := range readers {
			r.stop()
		}
	}()
	join := func() (*lineReader, error) {
		r, err := begin()
		if err != nil {
			return nil, err
		}
		readers = append(readers, r)
		return r, within("a member receives", func() bool { return len(r.seen()) > 50 })
	}
	first, err := join()
	if err != nil {
		return err
	}
	second, err := join()
	if err != nil {
		return err
	}
	first.stop()
	if _, err := join(); err != nil {
		return err
	}
	before := len(second.seen())
	if err := within("the second member still receives", func() bool { return len(second.seen()) > before+50 }); err != nil {
		return err
	}
	stop.Store(true)
	total := <-produced
	if total.err != nil {
		return fmt.Errorf("produce under load: %w", total.err)
	}
	if err := within("all records are seen", func() bool { return distinct(readers) == total.n }); err != nil {
		return fmt.Errorf("%w: %d of %d", err, distinct(readers), total.n)
	}
	return nil
}

func distinct(readers []*lineReader) int {
	values := map[string]bool{}
	for _, r := range readers {
		for _, value := range r.seen() {
			if strings.HasPrefix(value, "load/") {
				values[value] = true
			}
		}
	}
	return len(values)
}

func within(what string, done func() bool) error {
	for deadline := time.Now().Add(60 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited for: %s", what)
		}
	}
	return nil
}
