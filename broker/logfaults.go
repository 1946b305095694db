package broker

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/api"
)

// LogFault is what is wrong with one partition's log on a broker.
type LogFault = api.LogFault

// The kinds of LogFault.
const (
	FaultOffline     = api.FaultOffline
	FaultDamaged     = api.FaultDamaged
	FaultUncleanable = api.FaultUncleanable
	FaultFull        = api.FaultFull
)

// LogFaults reads what a broker told of its logs beside DescribeLogDirs.
func LogFaults(answer *kmsg.DescribeLogDirsResponse) []LogFault { return api.LogFaults(answer) }
