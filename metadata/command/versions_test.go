package command

import (
	"encoding/hex"
	"slices"
	"testing"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// What the first release wrote: an entry with each record whose body has changed since, and the snapshot after it.
const (
	entryVersion1 = "01040201010807636c75737465720a0112106d657461646174612e76657273696f6e3c0107014801090000000000000000000000000000000a010161" +
		"0109504c41494e54455854096c6f63616c686f7374888e0109504c41494e544558540103000000000000000000000000000000030201430000000000" +
		"00000000000000000000010764656661756c74066f726465727300010c726574656e74696f6e2e6d7301310200020204020000030204020102010402" +
		"060a04011900000000000000000000000000000001040100020204020000050121000000000000000000000000000000010100000402010302020401" +
		"0401020000000206011b04000001106c6f672e726574656e74696f6e2e6d730104313030300901040200d00f"
	snapshotVersion1 = "4d52494d414745010707636c7573746572d00f01106d657461646174612e76657273696f6e3c0101090000000000000000000000000000000e010161" +
		"0109504c41494e54455854096c6f63616c686f7374888e0109504c41494e54455854010300000000000000000000000000000001090464656661756c" +
		"740001106c6f672e726574656e74696f6e2e6d73043130303001000000000000000000000000000000010764656661756c74066f726465727300010c" +
		"726574656e74696f6e2e6d730131030302020401040102040202030204020102010402060a00020204020000eb4ac82b"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	p, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRecordsOfTheFirstReleaseStayReadable(t *testing.T) {
	groups, err := Decode(unhex(t, entryVersion1))
	if err != nil {
		t.Fatal(err)
	}
	img, refusals := Apply(image.Empty(), 7, groups, image.NewChanges())
	for _, refusal := range refusals {
		if refusal != nil {
			t.Fatal(refusal)
		}
	}
	checkFirstRelease(t, img, 7)
}

func TestSnapshotOfTheFirstReleaseStaysReadable(t *testing.T) {
	img, err := image.Restore(unhex(t, snapshotVersion1))
	if err != nil {
		t.Fatal(err)
	}
	checkFirstRelease(t, img, 7)
}

func checkFirstRelease(t *testing.T, img *image.Image, epoch int64) {
	t.Helper()
	b := img.Broker(1)
	if b == nil || b.Epoch != epoch || !b.Fenced || b.InControlledShutdown || b.Rack != "a" || len(b.Listeners) != 1 || len(b.Directories) != 1 {
		t.Fatalf("broker 1 is %+v", b)
	}
	topic := img.Topic("default", "orders")
	if topic == nil || topic.PartitionCount() != 3 || topic.Config["retention.ms"] != "1" {
		t.Fatalf("orders is %+v", topic)
	}
	if p := topic.Partition(0); p.Leader != 2 || p.LeaderEpoch != 1 || p.PartitionEpoch != 1 || !slices.Equal(p.ISR, []int32{2}) || !slices.Equal(p.ELR, []int32{1}) {
		t.Errorf("partition 0 is %+v", p)
	}
	for i, p := range topic.Partitions() {
		if p.RecoveryState != image.Recovered || p.Mover != image.ByOperator {
			t.Errorf("partition %d is %+v", i, p)
		}
	}
	if got := img.ConfigOverrides(config.Resource{Type: config.BrokerResource})["log.retention.ms"]; got != "1000" || img.NextProducerID() != 1000 {
		t.Errorf("log.retention.ms is %q, the next producer id %d", got, img.NextProducerID())
	}
}
