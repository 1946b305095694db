//go:build e2e

package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/e2e/harness"
)

// One of two disks goes away under load. Its partitions answer KAFKA_STORAGE_ERROR, those of the other disk are served
// without a gap, health and metrics tell why, new topics land on the disk that works, and a restart with the disk
// repaired brings everything back.
func TestOneOfTwoDisksFails(t *testing.T) {
	const partitionCount = 8
	good, bad := newDisk(t, 256), newDisk(t, 256)
	m := harness.StartMillrace(t, harness.MillraceConfig{
		Settings: map[string]string{"data.log_directories": good.dir("logs") + "," + bad.dir("logs")}, Allowed: diskFaults(),
	})
	createTopic(t, m.Address(), "chaos", partitionCount, nil)
	ledger := NewLedger()
	load := startLoad(t, m.Address(), loadConfig{topic: "chaos", partitions: partitionCount, sizeBytes: 100}, ledger)
	awaitAcknowledged(t, ledger, 2000, 20*time.Second)
	onGood, onBad := partitionsOn(t, good, "chaos"), partitionsOn(t, bad, "chaos")
	if len(onGood)+len(onBad) != partitionCount || len(onGood) == 0 || len(onBad) == 0 {
		t.Fatalf("partitions %v are on one disk and %v on the other, want all %d on both together", onGood, onBad, partitionCount)
	}
	if status, body := health(t, m); status != http.StatusOK {
		t.Errorf("with both disks the node is not ready: %d %s", status, body)
	}

	promised := ledger.Promises()
	bad.powerLoss(m.PID())
	p := newProbe(t, m.Address(), "chaos", ledger, probing)
	for _, partition := range onBad {
		if err := awaitError(p, partition); !errors.Is(err, kerr.KafkaStorageError) {
			t.Errorf("partition %d on the lost disk answers %v, want KAFKA_STORAGE_ERROR", partition, err)
		}
	}
	for range 50 {
		for _, partition := range onGood {
			began := time.Now()
			if err := p.produce(partition, 100); err != nil {
				t.Errorf("partition %d on the good disk answers %v", partition, err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("partition %d on the good disk took %v", partition, took)
			}
		}
	}
	mustTellOfLostDisk(t, m, bad)
	createTopic(t, m.Address(), "made-after", 4, nil)
	after := newProbe(t, m.Address(), "made-after", nil, 0)
	for partition := range int32(4) {
		if err := after.produce(partition, 10); err != nil {
			t.Errorf("a new topic's partition %d answers %v", partition, err)
		}
	}
	if got := partitionsOn(t, good, "made-after"); len(got) != 4 {
		t.Errorf("of the new topic only partitions %v are on the good disk", got)
	}

	m.Kill()
	bad.repair()
	m.Restart()
	for partition := range int32(partitionCount) {
		if err := newProbe(t, m.Address(), "chaos", ledger, probing+1+int(partition)).produce(partition, 10); err != nil {
			t.Errorf("with the disk repaired partition %d answers %v", partition, err)
		}
	}
	if status, body := health(t, m); status != http.StatusOK {
		t.Errorf("with the disk repaired the node is not ready: %d %s", status, body)
	}
	awaitAcknowledged(t, ledger, 2000, 20*time.Second)
	load.stop(t)
	reads, err := readAll(t, m.Address(), "chaos")
	if err != nil {
		t.Fatal(err)
	}
	report(t, ledger.CheckPromises(promised, reads))
	report(t, ledger.Check(reads))
}

// A node whose one disk cannot be mounted starts with the other, and says so.
func TestStartsWithoutALostDisk(t *testing.T) {
	good, bad := newDisk(t, 128), newDisk(t, 128)
	m := harness.StartMillrace(t, harness.MillraceConfig{
		Settings: map[string]string{"data.log_directories": good.dir("logs") + "," + bad.dir("logs")}, Allowed: diskFaults(),
	})
	createTopic(t, m.Address(), "chaos", 4, nil)
	ledger := NewLedger()
	p := newProbe(t, m.Address(), "chaos", ledger, probing)
	for partition := range int32(4) {
		if err := p.produce(partition, 10); err != nil {
			t.Fatal(err)
		}
	}
	onBad := partitionsOn(t, bad, "chaos")
	if len(onBad) == 0 || len(onBad) == 4 {
		t.Fatalf("partitions %v of 4 are on the one disk, want some on each", onBad)
	}
	m.Kill()
	bad.powerLoss(0)
	m.Restart()
	mustTellOfLostDisk(t, m, bad)
	mustBeDescribedAsLost(t, m.Address(), bad.dir("logs"))
	p = newProbe(t, m.Address(), "chaos", ledger, probing+1)
	for partition := range int32(4) {
		err := p.produce(partition, 10)
		if lost := slices.Contains(onBad, partition); lost != errors.Is(err, kerr.KafkaStorageError) || !lost && err != nil {
			t.Errorf("partition %d (on the lost disk: %v) answers %v", partition, lost, err)
		}
	}
	m.Kill()
	bad.repair()
	m.Restart()
	judge(t, m.Address(), ledger)
}

// partitionsOn lists the partitions of a topic that have a directory on the disk.
func partitionsOn(t *testing.T, d *disk, topic string) (found []int32) {
	t.Helper()
	names, err := filepath.Glob(d.dir("logs/" + topic + "-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		_, number, _ := strings.Cut(filepath.Base(name), topic+"-")
		var partition int32
		for _, digit := range number {
			partition = partition*10 + digit - '0'
		}
		found = append(found, partition)
	}
	return found
}

// awaitError sends until a partition refuses; it returns the last answer.
func awaitError(p *probe, partition int32) (err error) {
	for deadline := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		err = p.produce(partition, 10)
	}
	return err
}

func health(t *testing.T, m *harness.Millrace) (status int, body string) {
	t.Helper()
	response, err := http.Get("http://" + m.HTTPAddress() + "/healthz/ready")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func mustTellOfLostDisk(t *testing.T, m *harness.Millrace, lost *disk) {
	t.Helper()
	status, body := health(t, m)
	if status != http.StatusServiceUnavailable || !strings.Contains(body, lost.dir("logs")) {
		t.Errorf("with a disk lost /healthz/ready answers %d %s, want 503 and the directory", status, body)
	}
	metrics := m.Metrics()
	if want := `millrace_log_dir_offline{dir="` + lost.dir("logs") + `"} 1`; !strings.Contains(metrics, want) {
		t.Errorf("metrics lack %s", want)
	}
}

// mustBeDescribedAsLost wants DescribeLogDirs, which `millrace cluster health` reads, to name a directory as failed.
func mustBeDescribedAsLost(t *testing.T, address, directory string) {
	t.Helper()
	client := newClient(t, address)
	defer client.Close()
	dirs, err := kadm.NewClient(client).DescribeAllLogDirs(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := dirs[1][directory]; !errors.Is(d.Err, kerr.KafkaStorageError) || len(d.Topics) != 0 {
		t.Errorf("DescribeLogDirs says of %s: %v, %d topics; all: %+v", directory, d.Err, len(d.Topics), dirs)
	}
}

// One of two disks of one broker goes away under load. The controller hears which replicas it cannot use, others lead
// their partitions, and nobody waits for an operator, nor for the time after which a follower lags, be it in a partition that
// is written to all the time or in one that idled; with the disk repaired the broker is in sync again.
func TestDiskOfABrokerInAClusterFails(t *testing.T) {
	good, bad := newDisk(t, 512), newDisk(t, 512)
	lag := map[string]string{"replica.lag.time.max.ms": "30000"}
	s := newScene(t, sceneConfig{flow: flowConfig{partitions: 8}, allowed: diskFaults(), settings: lag, own: func(id int) map[string]string {
		if id != 1 {
			return nil
		}
		return map[string]string{"data.log_directories": good.dir("logs") + "," + bad.dir("logs")}
	}})
	s.awaitInSync(30 * time.Second)
	onBad := partitionsOn(t, bad, "chaos")
	if len(onBad) == 0 || len(partitionsOn(t, good, "chaos")) == 0 {
		t.Fatalf("partitions %v are on the one disk of broker 1, want some on each", onBad)
	}
	busy := s.startIdleAndBusy(map[string]*string{"min.insync.replicas": kadm.StringPtr("2")})
	led := s.ledBy(1)
	if !slices.ContainsFunc(onBad, func(p int32) bool { return slices.Contains(led, p) }) {
		t.Fatalf("broker 1 leads %v, and none of those on the disk that is to fail: %v", led, onBad)
	}

	began := time.Now()
	bad.powerLoss(s.Node(1).PID())
	harness.Await(t, "others lead what is on the lost disk", 30*time.Second, func(context.Context) error {
		if left := slices.DeleteFunc(s.ledBy(1), func(p int32) bool { return !slices.Contains(onBad, p) }); len(left) > 0 {
			return fmt.Errorf("broker 1 leads %v", left)
		}
		return nil
	})
	t.Logf("leadership moved %v after the disk was lost", time.Since(began).Round(time.Millisecond))
	s.mustServeIdleAndBusy("with a disk lost", busy)
	if status, body, err := s.Node(1).Get("/healthz/ready"); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(body, bad.dir("logs")) {
		t.Errorf("with a disk lost /healthz/ready answers %d %s (%v), want 503 and the directory", status, body, err)
	}

	s.Node(1).Kill()
	bad.repair()
	s.Node(1).Restart()
	s.flow.mustProgress("with the disk repaired", 30*time.Second, nil)
	s.awaitInSync(60 * time.Second)
	busy.finish()
	s.flow.finish()
	s.StopAll()
}

// A broker of a cluster starts without one of its two disks, then with it repaired, then with an empty one in its place. Each
// time it is only what lay there that it does not serve, does not lead, or has to copy: also where nobody else has a replica.
func TestBrokerOfAClusterStartsWithoutADisk(t *testing.T) {
	good, bad := newDisk(t, 512), newDisk(t, 512)
	s := newScene(t, sceneConfig{flow: flowConfig{partitions: 8}, allowed: diskFaults(), own: func(id int) map[string]string {
		if id != 1 {
			return nil
		}
		return map[string]string{"data.log_directories": good.dir("logs") + "," + bad.dir("logs")}
	}})
	s.createLonely("lonely", 6, 1)
	s.awaitInSync(30 * time.Second)
	p := newProbe(t, s.Node(1).Address(), "lonely", nil, 0)
	for partition := range int32(6) {
		if err := p.produce(partition, 10); err != nil {
			t.Fatal(err)
		}
	}
	onBad := partitionsOn(t, bad, "lonely")
	if len(onBad) == 0 || len(onBad) == 6 {
		t.Fatalf("partitions %v of 6 are on the one disk, want some on each", onBad)
	}

	s.Node(1).Kill()
	bad.powerLoss(0)
	s.Node(1).Restart()
	s.mustServe("with a disk missing", onBad)
	mustBeDescribedAsLost(t, s.Node(1).Address(), bad.dir("logs"))
	s.flow.mustProgress("with a disk missing", 30*time.Second, nil)
	s.awaitOnlyBehind("with a disk missing", partitionsOn(t, good, "chaos"))

	s.Node(1).Kill()
	bad.repair()
	s.Node(1).Restart()
	s.mustServe("with the disk repaired", nil)
	s.awaitInSync(60 * time.Second)
	for _, partition := range onBad {
		if end := s.endOffset("lonely", partition); end < 1 {
			t.Errorf("with the disk repaired partition %d of lonely ends at %d: its records are gone", partition, end)
		}
	}

	s.Node(1).Kill()
	if err := os.RemoveAll(bad.dir("logs")); err != nil {
		t.Fatal(err)
	}
	s.Node(1).Restart()
	s.mustServe("with an empty disk", onBad)
	s.awaitInSync(60 * time.Second)
	s.flow.finish()
	s.StopAll()
}

// createLonely makes a topic whose partitions have one replica each, on the same node.
func (s *scene) createLonely(name string, partitionCount, id int32) {
	s.t.Helper()
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	for partition := range partitionCount {
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, kmsg.CreateTopicsRequestTopicReplicaAssignment{Partition: partition, Replicas: []int32{id}})
	}
	request.Topics = append(request.Topics, topic)
	harness.Await(s.t, "create topic "+name, 30*time.Second, func(ctx context.Context) error {
		answer, err := request.RequestWith(ctx, s.flow.clients[0])
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(answer.Topics[0].ErrorCode)
	})
}

// mustServe wants every partition of lonely to take a record from its only replica, but for those that are lost: they have no
// leader.
func (s *scene) mustServe(when string, lost []int32) {
	s.t.Helper()
	admin, done := s.admin()
	defer done()
	for partition := range int32(6) {
		harness.Await(s.t, fmt.Sprintf("partition %d of lonely %s", partition, when), 30*time.Second, func(ctx context.Context) error {
			topics, err := admin.ListTopics(ctx, "lonely")
			if err != nil {
				return err
			}
			p := topics["lonely"].Partitions[partition]
			if slices.Contains(lost, partition) {
				if p.Leader >= 0 || len(p.ISR) > 0 {
					return fmt.Errorf("it lay on the lost disk and has leader %d and ISR %v", p.Leader, p.ISR)
				}
				return nil
			}
			if p.Leader != 1 {
				return fmt.Errorf("it has leader %d", p.Leader)
			}
			return newProbe(s.t, s.Node(1).Address(), "lonely", nil, 0).produce(partition, 10)
		})
	}
}

// awaitOnlyBehind waits until node 1 is in sync where its replicas lie on a disk that works, and nowhere else.
func (s *scene) awaitOnlyBehind(when string, onGood []int32) {
	s.t.Helper()
	harness.Await(s.t, "the replicas of broker 1 in sync "+when, 60*time.Second, func(ctx context.Context) error {
		partitions, err := s.partitions(ctx)
		if err != nil {
			return err
		}
		for _, p := range partitions {
			if inSync := slices.Contains(p.ISR, 1); inSync != slices.Contains(onGood, p.Partition) {
				return fmt.Errorf("partition %d has ISR %v, and those on its good disk are %v", p.Partition, p.ISR, onGood)
			}
		}
		return nil
	})
}

func (s *scene) endOffset(topic string, partition int32) (end int64) {
	s.t.Helper()
	admin, done := s.admin()
	defer done()
	harness.Await(s.t, "end offset of "+topic, 30*time.Second, func(ctx context.Context) error {
		offsets, err := admin.ListEndOffsets(ctx, topic)
		if err != nil {
			return err
		}
		o, _ := offsets.Lookup(topic, partition)
		end = o.Offset
		return o.Err
	})
	return end
}

// ledBy lists the partitions that a node leads.
func (s *scene) ledBy(id int32) (led []int32) {
	s.t.Helper()
	harness.Await(s.t, "a description of the topic", 30*time.Second, func(ctx context.Context) error {
		partitions, err := s.partitions(ctx)
		led = nil
		for _, p := range partitions {
			if p.Leader == id {
				led = append(led, p.Partition)
			}
		}
		return err
	})
	return led
}
