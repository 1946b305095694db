package metadata

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// childDirectory is set in the environment of a process that TestKillLosesNothingAcknowledged starts and kills.
const childDirectory = "MILLRACE_METADATA_TEST_DIRECTORY"

// runChild creates topics and allocates producer ids until it is killed, telling each that was acknowledged.
func runChild(dir string) error {
	n, err := Open(context.Background(), testConfig(dir))
	if err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	if _, err := n.RegisterBroker(context.Background(), image.Broker{ID: 1, Incarnation: [16]byte{byte(os.Getpid()), byte(os.Getpid() >> 8)}}); err != nil {
		return err
	}
	for i := 0; ; i++ {
		name := fmt.Sprintf("%d-%d", os.Getpid(), i)
		if r := n.CreateTopics(context.Background(), "default", []controller.NewTopic{newTopic(name, 3)}, false)[0]; r.Err != nil {
			return r.Err
		}
		first, _, err := n.AllocateProducerIDs(context.Background(), 1, n.Image().Broker(1).Epoch)
		if err != nil {
			return err
		}
		fmt.Println(name, first)
	}
}

func TestKillLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	acknowledged := map[string]bool{}
	blocks := map[int64]bool{}
	for round := range 6 {
		child := exec.CommandContext(t.Context(), os.Args[0])
		child.Env = append(os.Environ(), childDirectory+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		kill := func() { _ = child.Process.Kill() }
		after := time.Duration(30+40*round) * time.Millisecond
		if round == 0 {
			time.AfterFunc(after, kill) // it may not have begun
		}
		killed := round == 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var name string
			var first int64
			if n, _ := fmt.Sscan(lines.Text(), &name, &first); n != 2 {
				continue
			}
			if blocks[first] {
				t.Errorf("the producer ids from %d were handed out twice", first)
			}
			acknowledged[name], blocks[first] = true, true
			if !killed {
				killed = true
				time.AfterFunc(after, kill)
			}
		}
		_ = child.Wait()
	}
	n := start(t, testConfig(dir))
	for name := range acknowledged {
		if topic := n.Image().Topic("default", name); topic == nil || topic.PartitionCount() != 3 {
			t.Errorf("acknowledged topic %s is %+v", name, topic)
		}
	}
	if len(acknowledged) == 0 {
		t.Error("nothing was acknowledged in " + strconv.Itoa(6) + " rounds")
	}
	t.Logf("%d topics acknowledged, %d there", len(acknowledged), n.Image().TopicCount())
}
