package broker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

// dialled are the other ends of lifelines that were dialled.
type dialled struct {
	mu    sync.Mutex
	lines map[int32]net.Conn
	times map[int32]int
}

func (d *dialled) dial(_ context.Context, id int32, _ string) (io.ReadCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.times[id]++
	if id == 4 {
		return nil, errors.New("it does not answer")
	}
	ours, theirs := net.Pipe()
	d.lines[id] = theirs
	return ours, nil
}

func (d *dialled) count(id int32) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.times[id]
}

func (d *dialled) line(id int32) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lines[id]
}

// Each other broker that serves has a lifeline of this one, and a new one when it has lost it.
func TestLifelinesAreHeldToEveryBrokerThatServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var img atomic.Pointer[image.Image]
		fenced := brokerAt(3)
		fenced.Fenced = true
		img.Store(brokersImage(brokerAt(1), brokerAt(2), fenced, brokerAt(4)))
		d := &dialled{lines: map[int32]net.Conn{}, times: map[int32]int{}}
		l := &lifelines{nodeID: 1, image: img.Load, dial: d.dial, logger: slog.New(slog.DiscardHandler), poked: make(chan struct{}, 1)}
		ctx, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			l.run(ctx)
			close(ended)
		}()
		expect := func(when string, want ...int) {
			t.Helper()
			synctest.Wait()
			for i, n := range want {
				if got := d.count(int32(i + 1)); got != n {
					t.Errorf("%s: dialled broker %d %d times, want %d", when, i+1, got, n)
				}
			}
		}
		expect("at first", 0, 1, 0, 1)
		time.Sleep(lifelineRenewal)
		expect("then", 0, 1, 0, 2)
		_ = d.line(2).Close()
		time.Sleep(lifelineRenewal)
		expect("after one has ended", 0, 2, 0, 3)
		img.Store(brokersImage(brokerAt(1), brokerAt(2), brokerAt(3), brokerAt(4)))
		l.Poke()
		expect("when one serves", 0, 2, 1, 4)
		end()
		<-ended
		for _, id := range []int32{2, 3} {
			if _, err := d.line(id).Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the lifeline to broker %d has not ended: %v", id, err)
			}
		}
	})
}

func brokerAt(id int32) image.Broker {
	return image.Broker{ID: id, Listeners: []image.Listener{{Name: internalListener, Host: "host", Port: id}}}
}

// The brokers of a cluster watch over one another.
func TestBrokersWatchOverOneAnother(t *testing.T) {
	brokers := startTrio(t)
	for _, b := range brokers {
		for _, other := range brokers {
			if b != other {
				awaitLine(t, b.company.departures, other.cfg.NodeID)
			}
		}
	}
}

// awaitLine waits until a broker's lifeline is watched.
func awaitLine(t *testing.T, d *departures, id int32) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		d.mu.Lock()
		watched := d.lines[id] != nil
		d.mu.Unlock()
		if watched {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("broker %d does not watch over broker %d", d.cfg.NodeID, id)
		}
	}
}
