package oracle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func testSession(topics map[string]TopicID) *Session {
	s := &Session{target: &Target{Address: "127.0.0.1:9092", clusterID: "the-cluster", DataDir: "/data"}, suffix: "-7-3.1", topicNames: map[TopicID]string{}, sentProducerIDs: map[int64]bool{}}
	for name, id := range topics {
		s.topicNames[id] = name
	}
	s.renderer = renderer{session: s, names: map[string]string{}, counts: map[string]int{}}
	return s
}

func TestWhatAServerChoosesFreelyIsNamedAndTheRestIsShown(t *testing.T) {
	id := TopicID{1}
	s := testSession(map[string]TopicID{"orders-7-3.1": id})
	topic := "orders-7-3.1"
	cluster := "the-cluster"
	response := kmsg.NewPtrMetadataResponse()
	response.ThrottleMillis = 12
	response.ClusterID = &cluster
	response.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: "127.0.0.1", Port: 9092}}
	response.Topics = []kmsg.MetadataResponseTopic{{ErrorCode: 3, Topic: &topic, TopicID: id, AuthorizedOperations: -2147483648}}
	var got []string
	for _, line := range s.renderer.render(response, "") {
		got = append(got, line.Path+"="+line.Value)
	}
	want := "Brokers[1].NodeID=1 Brokers[1].Host=127.0.0.1 Brokers[1].Port=PORT ClusterID=CLUSTER " +
		"Topics[orders~].ErrorCode=UNKNOWN_TOPIC_OR_PARTITION Topics[orders~].Topic=orders~ Topics[orders~].TopicID=id(orders~)"
	if strings.Join(got, " ") != want {
		t.Errorf("rendered\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
}

func TestKeepLeavesOutTopicsOfOthers(t *testing.T) {
	s := testSession(nil)
	mine, theirs := "orders-7-3.1", "orders-8-3.1"
	response := kmsg.NewPtrMetadataResponse()
	response.Topics = []kmsg.MetadataResponseTopic{{Topic: &mine, AuthorizedOperations: -2147483648}, {Topic: &theirs, AuthorizedOperations: -2147483648}}
	for _, line := range s.renderer.render(response, "~") {
		if strings.Contains(line.Path, "8-3") {
			t.Errorf("kept %v", line)
		}
	}
}

func TestTextsLoseUuidsAddressesTheClusterAndTheClock(t *testing.T) {
	s := testSession(nil)
	now := time.Now().UnixMilli()
	got := s.renderer.text("ErrorMessage", fmt.Sprintf("member oracle-00000000-0000-4000-8000-000000000000 at 127.0.0.1:1234 of the-cluster in /data/x, at %d of 1234567890123", now))
	if want := "member oracle-uuid#1 at HOST:PORT of CLUSTER in LOGDIR/x, at about now of 1234567890123"; got != want {
		t.Errorf("text is %q, want %q", got, want)
	}
}

func TestBatchesAreEncodedAndDescribedInEveryCodec(t *testing.T) {
	key, value := "k", "v"
	for codec := range codecs {
		f := &filler{}
		b, err := f.encodeBatch(&batchSpec{Codec: codec, Records: []recordSpec{{Key: &key, Value: &value, Headers: [][2]string{{"h", "1"}}}, {Value: nil}}})
		if err != nil {
			t.Fatal(err)
		}
		lines := describeBatches(b, func(int64) string { return "none" }, func(n int64) string { return fmt.Sprint(n - firstTimestamp) })
		got := strings.Join(lines, "\n")
		for _, want := range []string{"lastDelta 1 times 0..1 producer none/-1 sequence -1 count 2 crc true", `record +0 time +0 key "k" value "v" h="1"`, "record +1 time +1 key null value null"} {
			if !strings.Contains(got, want) {
				t.Errorf("codec %q: %s lacks %q", codec, got, want)
			}
		}
	}
}

func TestBatchesThatLieAreDescribedAsWhatTheyAre(t *testing.T) {
	f := &filler{}
	crc := int32(5)
	value := "v"
	for want, spec := range map[string]batchSpec{
		"crc false":          {CRC: &crc},
		"a batch cut short":  {Cut: 2},
		"a record cut short": {Garbage: true},
		"do not decompress":  {Garbage: true, Codec: "gzip"},
	} {
		spec.Records = []recordSpec{{Value: &value}}
		b, err := f.encodeBatch(&spec)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(describeBatches(b, func(int64) string { return "" }, func(int64) string { return "" }), "\n")
		if !strings.Contains(got, want) {
			t.Errorf("described as %s, want %q", got, want)
		}
	}
}
