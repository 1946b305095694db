//go:build e2e

package hostile

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// 500 senders claim frames of 100 MB, 50 GB together, and send a few bytes of each now and then. Memory follows the bytes
// that came, not the claims.
func TestSlowSenders(t *testing.T) {
	n := startNode(t, 96, nil)
	peers := make([]*peer, 500)
	for i := range peers {
		peers[i] = n.dial()
		start := append(binary.BigEndian.AppendUint32(nil, 100<<20), header(0, 9, 1, true)...)
		if i%2 == 0 {
			start = append(start, bytes.Repeat([]byte{1}, 20_000)...) // 5 MB together
		}
		if _, err := peers[i].Write(start); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		for _, p := range peers {
			if _, err := p.Write([]byte{1, 1, 1}); err != nil {
				t.Fatalf("a slow sender was cut off after less than the grace for a frame: %v", err)
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	n.awaitNeighbour(50)
}

// Frames of the largest size that are begun and never ended: they wait for the broker's memory budget in line, and whoever
// sends small requests does not wait with them.
func TestHalfFramesOfTheLargestSize(t *testing.T) {
	n := startNode(t, 1024, nil)
	part := bytes.Repeat([]byte{1}, 40<<20)
	for range 40 { // 1.6 GB, if all were read
		p := n.dial()
		start := append(binary.BigEndian.AppendUint32(nil, 100<<20), header(0, 9, 1, true)...)
		go func() {
			_ = p.SetWriteDeadline(time.Now().Add(5 * time.Second))
			_, _ = p.Write(append(start, part...))
		}()
	}
	time.Sleep(5 * time.Second)
	n.awaitNeighbour(50)
}
