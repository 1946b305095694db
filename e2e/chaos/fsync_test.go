//go:build e2e

package chaos

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// A sync fails once and the next one succeeds, as Linux does it: the pages are marked clean after the failure although
// they never reached the disk. The first failure must end the log directory; nothing is acknowledged by it after that,
// and the next start finds everything that was promised.
func TestFirstFailedSyncEndsTheDirectory(t *testing.T) {
	// strace counts calls per thread, so each of these fails at another moment of the broker's life.
	for _, when := range []int{5, 8, 13, 21, 34} {
		t.Run(fmt.Sprintf("call %d of a thread", when), func(t *testing.T) {
			data, logs := t.TempDir(), t.TempDir()
			m := harness.StartMillrace(t, harness.MillraceConfig{
				DataDir: data, Settings: map[string]string{"data.log_directories": logs}, Allowed: diskFaults(),
			})
			createTopic(t, m.Address(), "chaos", partitions, nil)
			ledger := NewLedger()
			for partition := range int32(partitions) { // the files exist, so that strace can know them by path
				mustProduce(t, newProbe(t, m.Address(), "chaos", ledger, probing+int(partition)), partition)
			}
			m.Stop()

			line := []string{harness.Program(t, "strace", "strace"), "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync,syncfs",
				"-e", "inject=fsync,fdatasync,syncfs:error=EIO:when=" + strconv.Itoa(when)}
			for partition := range partitions {
				line = append(line, "-P", fmt.Sprintf("%s/chaos-%d/00000000000000000000.log", logs, partition))
			}
			m.SetPrefix(append(line, "-P", logs)...)
			m.Restart()
			load := startLoad(t, m.Address(), loadConfig{topic: "chaos", sizeBytes: 100, codec: kgo.NoCompression()}, ledger)
			select {
			case <-m.Gone(): // its only directory is offline
			case <-time.After(30 * time.Second):
				t.Fatal("no sync failed, or the broker goes on after one did")
			}
			_, acked := ledger.Counts()
			m.SetPrefix()
			m.Restart()
			awaitAcknowledged(t, ledger, 500, 20*time.Second)
			load.stop(t)
			judge(t, m.Address(), ledger)
			t.Logf("%d records were acknowledged before the sync failed", acked)
		})
	}
}

func mustProduce(t *testing.T, p *probe, partition int32) {
	t.Helper()
	if err := p.produce(partition, 10); err != nil {
		t.Fatalf("partition %d: %v", partition, err)
	}
}

// A disk that is smaller than it says: writes go to the page cache, the sync fails with ENOSPC, and the kernel reports
// success for the next one although the bytes are gone. That is a failed sync, not a full disk: the directory ends.
func TestSyncWithoutRoomIsNoFullDisk(t *testing.T) {
	d := newThinDisk(t, 256, 48)
	m := harness.StartMillrace(t, harness.MillraceConfig{
		Settings: map[string]string{"data.log_directories": d.dir("logs")}, Allowed: diskFaults(),
	})
	createTopic(t, m.Address(), "chaos", partitions, nil)
	ledger := NewLedger()
	p := newProbe(t, m.Address(), "chaos", ledger, probing)
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		err = p.produce(int32(n%partitions), 200_000)
	}
	if err == nil {
		t.Fatal("a disk of 48 MiB took 200 MB")
	}
	var refusal *kerr.Error
	if errors.As(err, &refusal) && !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("the failed sync answers %v, want KAFKA_STORAGE_ERROR or a closed connection", err)
	}
	select {
	case <-m.Gone():
	case <-time.After(10 * time.Second):
		t.Fatal("the broker goes on after a sync failed")
	}
	_, acked := ledger.Counts()
	if acked < 50 {
		t.Fatalf("only %d records fitted: the run proves little", acked)
	}
	d.grow(256)
	d.repair()
	m.Restart()
	judge(t, m.Address(), ledger)
}

// newThinDisk makes a file system of sizeMiB whose image lies on a tmpfs of backedMiB.
func newThinDisk(t *testing.T, sizeMiB, backedMiB int) *disk {
	t.Helper()
	d := &disk{t: t}
	below := t.TempDir()
	d.mountUntilEnd(below, "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", backedMiB), "tmpfs")
	d.image, d.below = below+"/image", below
	d.path = t.TempDir()
	d.makeImage(sizeMiB)
	d.mountUntilEnd(d.path, "-o", "loop", d.image)
	return d
}

// grow gives a thin disk what it promised.
func (d *disk) grow(backedMiB int) {
	d.t.Helper()
	d.run("mount", "-o", fmt.Sprintf("remount,size=%dm", backedMiB), d.below)
}
