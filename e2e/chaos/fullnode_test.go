//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// fullDisk is what a node logs as an ERROR when its disk is full.
func fullDisk() []*regexp.Regexp {
	return []*regexp.Regexp{regexp.MustCompile(`log directory is full|[Nn]o space left|no space for the metadata log`)}
}

// The disk of a broker fills up under load: its logs, or all that it has, the metadata log among it. Others lead its
// partitions at once, also those of groups and transactions and those that idle, and nobody waits for an operator, nor for
// the time after which a follower lags. The broker says what is wrong, and with room again it is in sync and leads as before.
func TestDiskOfABrokerInAClusterIsFull(t *testing.T) {
	for _, tc := range []struct {
		name     string
		metadata bool // on the same disk
	}{{"logs", false}, {"logs and metadata", true}} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDisk(t, 256)
			config := sceneConfig{
				flow: flowConfig{partitions: 8, transactional: 2}, allowed: fullDisk(), topic: smallSegments(),
				settings: map[string]string{"replica.lag.time.max.ms": "30000", "millrace.log.dir.room.bytes": "67108864", "leader.imbalance.check.interval.seconds": "2"},
				own: func(id int) map[string]string {
					if id != 1 || tc.metadata {
						return nil
					}
					return map[string]string{"data.log_directories": d.dir("logs")}
				},
			}
			if tc.metadata {
				config.dataDir = func(id int) string {
					if id == 1 {
						return d.dir("data")
					}
					return t.TempDir()
				}
			}
			s := newScene(t, config)
			s.awaitInSync(30 * time.Second)
			busy := s.startIdleAndBusy(smallSegments())
			s.createLonely("lonely", 1, 1)
			lonely := newProbe(t, s.Node(1).Address(), "lonely", nil, 0)
			if err := lonely.produce(0, 100); err != nil {
				t.Fatal(err)
			}
			if len(s.ledBy(1)) == 0 {
				t.Fatal("broker 1 leads nothing")
			}

			began := time.Now()
			d.fillUp("filler")
			awaitFull(s, lonely)
			harness.Await(t, "others lead what is on the full disk", 30*time.Second, func(context.Context) error {
				if left := s.ledBy(1); len(left) > 0 {
					return fmt.Errorf("broker 1 leads %v", left)
				}
				return nil
			})
			t.Logf("leadership moved within %v of the disk being full", time.Since(began).Round(time.Millisecond))
			s.mustServeIdleAndBusy("with a disk full", busy)
			s.mustCommit("with a disk full")
			s.mustTellOfFullDisk()
			s.mustStayOut(5 * time.Second)

			d.free("filler")
			began = time.Now()
			s.flow.mustProgress("with room again", 30*time.Second, nil)
			s.mustCommit("with room again")
			s.awaitInSync(60 * time.Second)
			t.Logf("in sync %v after there was room", time.Since(began).Round(time.Millisecond))
			harness.Await(t, "broker 1 leads again", 60*time.Second, func(context.Context) error {
				if led := s.ledBy(1); len(led) < 2 {
					return fmt.Errorf("it leads %v", led)
				}
				return nil
			})
			harness.Await(t, "broker 1 is ready", 30*time.Second, func(context.Context) error {
				status, body, err := s.Node(1).Get("/healthz/ready")
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("%d %s", status, body)
				}
				return err
			})
			if err := lonely.produce(0, 100); err != nil {
				t.Errorf("with room again the partition without another replica answers %v", err)
			}
			busy.finish()
			s.flow.mustProgress("at the end", 30*time.Second, nil)
			s.awaitInSync(30 * time.Second)
			s.flow.finish()
			s.StopAll()
		})
	}
}

// smallSegments keep small what is allocated ahead, so that a full disk is felt at once.
func smallSegments() map[string]*string {
	return map[string]*string{"segment.bytes": kadm.StringPtr("1048576"), "min.insync.replicas": kadm.StringPtr("2")}
}

// fillUp takes all the room that is left under a name.
func (d *disk) fillUp(name string) {
	d.t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.path, &s); err != nil {
		d.t.Fatal(err)
	}
	if size := int64(s.Bavail)*s.Bsize - (1 << 20); size > 0 {
		d.run("fallocate", "-l", fmt.Sprint(size), d.dir(name))
		return
	}
	d.run("dd", "if=/dev/zero", "of="+d.dir(name), "bs=4096", "count="+fmt.Sprint(s.Bavail))
}

// awaitFull sends to a partition of node 1 alone until it refuses, and says why.
func awaitFull(s *scene, p *probe) {
	s.t.Helper()
	harness.Await(s.t, "the disk of broker 1 is full", 60*time.Second, func(context.Context) error {
		err := p.produce(0, 100_000)
		if err == nil {
			return errors.New("it takes records")
		}
		if !errors.Is(err, kerr.KafkaStorageError) {
			s.t.Errorf("a full disk answers %v, want KAFKA_STORAGE_ERROR", err)
		}
		return nil
	})
}

// mustTellOfFullDisk wants health, metrics and the log of node 1 to say that its disk is full.
func (s *scene) mustTellOfFullDisk() {
	s.t.Helper()
	if status, body, err := s.Node(1).Get("/healthz/ready"); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, "is full") {
		s.t.Errorf("with a disk full /healthz/ready answers %d %s (%v), want 503 and why", status, body, err)
	}
	if _, body, err := s.Node(1).Get("/metrics"); err != nil || !regexp.MustCompile(`(?m)^millrace_log_dir_full\{.*\} 1$`).MatchString(body) {
		s.t.Errorf("with a disk full the metrics do not say so (%v)", err)
	}
}

// mustStayOut wants node 1 to lead nothing, and to be in no in-sync set, for a while. Node 1 itself may not know.
func (s *scene) mustStayOut(during time.Duration) {
	s.t.Helper()
	client := newClient(s.t, s.Node(2).Address())
	defer client.Close()
	for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		request := kmsg.NewPtrMetadataRequest()
		topic := kmsg.NewMetadataRequestTopic()
		topic.Topic = kmsg.StringPtr("chaos")
		request.Topics = append(request.Topics, topic)
		answer, err := client.Broker(2).Request(s.t.Context(), request)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, p := range answer.(*kmsg.MetadataResponse).Topics[0].Partitions {
			if p.Leader == 1 || slices.Contains(p.ISR, 1) {
				s.t.Fatalf("while its disk is full broker 1 is the leader or in sync: partition %d has leader %d and ISR %v", p.Partition, p.Leader, p.ISR)
			}
		}
	}
}

// Nodes start on disks that are full with all that they have, one or all at once. They serve once there is room, and a majority
// goes on meanwhile.
func TestNodesOfAClusterStartOnFullDisks(t *testing.T) {
	for _, count := range []int{1, 3} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			s := newScene(t, sceneConfig{
				flow: flowConfig{partitions: 8, transactional: 1}, allowed: fullDisk(), topic: smallSegments(), diskMiB: 256,
				settings: map[string]string{"millrace.log.dir.room.bytes": "67108864"},
			})
			s.awaitInSync(30 * time.Second)
			full := []int{0, 1, 2}[:count]
			for _, i := range full {
				s.disks[i].fillUp("filler")
			}
			s.awaitFullDirectory(full)
			for _, i := range full {
				s.Nodes()[i].Kill()
				s.disks[i].fillUp("rest")
			}
			for _, i := range full {
				s.Nodes()[i].Start()
			}
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				for _, i := range full {
					if !s.Nodes()[i].Running() {
						t.Fatalf("node %d did not start on a full disk", i+1)
					}
				}
			}
			if count == 1 {
				s.flow.mustProgress("with a disk full", 30*time.Second, nil)
			}
			for _, i := range full {
				s.disks[i].free("filler")
				s.disks[i].free("rest")
			}
			for _, i := range full {
				s.Nodes()[i].AwaitServing()
			}
			s.end()
		})
	}
}
