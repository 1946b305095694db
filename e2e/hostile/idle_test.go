//go:build e2e

package hostile

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const idleConnections = 3000

// Thousands of connections that said hello, and as many that never said anything, cost a few KiB each, stay open, and give
// everything back when they go.
func TestIdleConnections(t *testing.T) {
	n := startNode(t, 128, nil)
	n.awaitNeighbour(50)
	beforeBytes, beforeFiles := rssAnon(n.PID()), openFiles(t, n.PID())
	hello := request(kmsg.NewPtrApiVersionsRequest(), 1)
	peers := make([]*peer, 0, 2*idleConnections)
	for i := range 2 * idleConnections {
		p := n.dial()
		if i%2 == 0 && p.ask(hello, 10*time.Second) == nil {
			t.Fatalf("connection %d got no answer", i)
		}
		peers = append(peers, p)
	}
	n.awaitNeighbour(50)
	each := (rssAnon(n.PID()) - beforeBytes) / int64(len(peers))
	t.Logf("%d connections: %d bytes of anonymous memory each, %d more open files", len(peers), each, openFiles(t, n.PID())-beforeFiles)
	if each > 16<<10 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
	for i := 0; i < len(peers); i += 500 {
		if peers[i].ask(hello, 10*time.Second) == nil {
			t.Errorf("idle connection %d was closed", i)
		}
	}
	for _, p := range peers {
		p.Close()
	}
	for deadline := time.Now().Add(20 * time.Second); openFiles(t, n.PID()) > beforeFiles+50; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open long after the connections went, %d were before", openFiles(t, n.PID()), beforeFiles)
		}
	}
}

// Peers that ask for megabytes again and again and read none of the answers: the broker keeps what it may write at once
// for each, not what they ask for.
func TestAnswersThatNobodyReads(t *testing.T) {
	n := startNode(t, 256, nil)
	ask := kmsg.NewPtrDescribeConfigsRequest() // an answer of about 50 KiB
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
	ask.Resources = append(ask.Resources, resource)
	ask.IncludeSynonyms, ask.IncludeDocumentation = true, true
	ask.Version = 4
	one := request(ask, 1)
	var burst []byte
	for len(burst) < 64<<10 {
		burst = append(burst, one...)
	}
	for range 100 {
		p := n.dial()
		go func() {
			_ = p.SetWriteDeadline(time.Now().Add(5 * time.Second))
			for range 50 {
				if _, err := p.Write(burst); err != nil {
					return // the broker has stopped reading: what it should do
				}
			}
		}()
	}
	time.Sleep(6 * time.Second)
	n.awaitNeighbour(50)
}
