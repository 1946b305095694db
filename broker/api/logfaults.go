package api

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// LogFault is what is wrong with one partition's log, or with a whole log directory, on the broker that says so.
type LogFault struct {
	Kind      string `json:"kind"` // one of the kinds below
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Reason    string `json:"reason"`
}

// The kinds of faults.
const (
	FaultOffline     = "offline"     // the log cannot be used at all
	FaultDamaged     = "damaged"     // bytes of a sealed segment have changed, and were not mended
	FaultUncleanable = "uncleanable" // it is not compacted any more
	FaultFull        = "full"        // the disk refuses what would be appended; of a whole directory, Topic is empty
)

// logFaultsTag is a tagged field of DescribeLogDirsResponse that only ours sends, and only when there is something to tell:
// JSON of LogFaults, for `millrace cluster health`. Who does not know it skips it.
const logFaultsTag = 10000

const (
	maxLogFaults        = 100 // in one answer
	maxFaultReasonBytes = 500
)

// logFaults gathers what is wrong with the tenant's logs.
func (s *Services) logFaults(tenant string) (faults []LogFault) {
	add := func(kind, topic string, partition int32, reason error) {
		if len(faults) < maxLogFaults {
			faults = append(faults, LogFault{kind, topic, partition, shortReason(reason)})
		}
	}
	for _, dir := range s.Replicas.Dirs() {
		if dir.Full() {
			add(FaultFull, "", -1, fmt.Errorf("log directory %s refuses appends", dir.Path()))
		}
	}
	for _, p := range s.Replicas.Offline() {
		if p.Topic.Tenant == tenant {
			add(FaultOffline, p.Topic.Name, p.Number, p.ReadErr())
		}
	}
	for _, d := range s.Replicas.Damages() {
		if name := d.Log.TopicPartition(); s.ownsTopic(tenant, name.TopicID) {
			add(FaultDamaged, name.Topic, name.Partition, fmt.Errorf("%w (not repaired: %v)", d.Fault, d.Kept))
		}
	}
	for _, u := range s.Replicas.Uncleanable() {
		if name := u.Log.TopicPartition(); s.ownsTopic(tenant, name.TopicID) {
			add(FaultUncleanable, name.Topic, name.Partition, u.Reason)
		}
	}
	return faults
}

func (s *Services) ownsTopic(tenant string, id [16]byte) bool {
	t := s.Metadata.Image().TopicByID(id)
	return t != nil && t.Tenant == tenant
}

func shortReason(reason error) string {
	if reason == nil { // it became well meanwhile
		return ""
	}
	text := reason.Error()
	if len(text) > maxFaultReasonBytes {
		text = strings.ToValidUTF8(text[:maxFaultReasonBytes], "") + "..."
	}
	return text
}

func tagLogFaults(answer *kmsg.DescribeLogDirsResponse, faults []LogFault) {
	if len(faults) == 0 {
		return
	}
	if text, err := json.Marshal(faults); err == nil { // it has nothing that cannot be encoded
		answer.UnknownTags.Set(logFaultsTag, text)
	}
}

// LogFaults reads what a broker says is wrong with its logs; a broker that is not ours says nothing.
func LogFaults(answer *kmsg.DescribeLogDirsResponse) (faults []LogFault) {
	answer.UnknownTags.Each(func(tag uint32, text []byte) {
		if tag == logFaultsTag && json.Unmarshal(text, &faults) != nil {
			faults = nil
		}
	})
	return faults
}
