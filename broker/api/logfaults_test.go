package api

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestLogFaultsComeThroughTheWire(t *testing.T) {
	faults := []LogFault{{FaultDamaged, "t", 3, "segment 17: checksum"}, {FaultUncleanable, "u", 0, "corrupt"}}
	answer := kmsg.NewPtrDescribeLogDirsResponse()
	answer.Version = 4
	tagLogFaults(answer, faults)
	read := kmsg.NewPtrDescribeLogDirsResponse()
	read.Version = 4
	if err := read.ReadFrom(answer.AppendTo(nil)); err != nil {
		t.Fatal(err)
	}
	if got := LogFaults(read); !slices.Equal(got, faults) {
		t.Errorf("read %+v, want %+v", got, faults)
	}
}

func TestLogFaultsOfOthersAreNone(t *testing.T) {
	answer := kmsg.NewPtrDescribeLogDirsResponse()
	tagLogFaults(answer, nil)
	if answer.UnknownTags.Len() != 0 || LogFaults(answer) != nil {
		t.Error("something is told where nothing is wrong")
	}
	answer.UnknownTags.Set(logFaultsTag, []byte("not ours"))
	if got := LogFaults(answer); got != nil {
		t.Errorf("read %+v", got)
	}
}

func TestLongReasonsAreCut(t *testing.T) {
	if got := shortReason(errors.New(strings.Repeat("é", 1000))); len(got) > maxFaultReasonBytes+3 || strings.ContainsRune(got, 0xfffd) {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}
