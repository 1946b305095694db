//go:build e2e && linux

package harness

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// on runs do with the network of a host; a socket stays where it was made.
func on(t *testing.T, n *Network, host int, do func() error) error {
	if host == 0 {
		return do()
	}
	namespace, err := os.Open("/run/netns/" + n.namespace(host))
	if err != nil {
		t.Fatal(err)
	}
	defer namespace.Close()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET)
		if err == nil {
			err = do()
		}
		result <- err
	}()
	return <-result
}

// Cuts lose packets in one direction and spare all others; healing brings them back.
func TestNetworkCutsOneWay(t *testing.T) {
	n := NewNetwork(t, 3)
	for host := range 4 {
		err := on(t, n, host, func() error {
			l, err := net.Listen("tcp", n.Host(host)+":7")
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(when string, from, to int, reached bool) {
		t.Helper()
		err := on(t, n, from, func() error {
			c, err := net.DialTimeout("tcp", n.Host(to)+":7", 300*time.Millisecond)
			if err == nil {
				c.Close()
			}
			return err
		})
		if (err == nil) != reached {
			t.Errorf("%s: host %d dials %d: %v", when, from, to, err)
		}
	}
	for _, pair := range [][2]int{{1, 2}, {2, 3}, {0, 3}, {3, 0}} {
		want("whole", pair[0], pair[1], true)
	}
	n.Cut(1, 2)
	want("cut", 1, 2, false)
	want("cut", 2, 1, false) // the answer is lost
	want("cut", 1, 3, true)
	want("cut", 2, 3, true)
	want("cut", 0, 2, true)
	n.Split([]int{0}, []int{3})
	want("client cut off", 0, 3, false)
	want("client cut off", 0, 1, true)
	n.Heal()
	want("healed", 1, 2, true)
	want("healed", 0, 3, true)
}
