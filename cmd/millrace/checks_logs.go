package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker"
)

// logFaultChecks tell of single logs that brokers cannot use, mend or compact. Other brokers than ours tell nothing.
func logFaultChecks(ctx context.Context, client *kgo.Client, meta kadm.Metadata) (out []check) {
	byKind := map[string][]string{}
	for _, b := range meta.Brokers {
		request := kmsg.NewPtrDescribeLogDirsRequest()
		response, err := client.Broker(int(b.NodeID)).Request(ctx, request)
		if err != nil {
			continue // another check tells of it
		}
		for _, f := range broker.LogFaults(response.(*kmsg.DescribeLogDirsResponse)) {
			where := fmt.Sprintf("%s:%d on broker %d", f.Topic, f.Partition, b.NodeID)
			if f.Topic == "" {
				where = fmt.Sprintf("broker %d", b.NodeID)
			}
			byKind[f.Kind] = append(byKind[f.Kind], fmt.Sprintf("%s (%s)", where, firstLine(f.Reason)))
		}
	}
	for _, kind := range []struct {
		fault, name, status, why, fix string
	}{
		{broker.FaultFull, "full disks", checkFail, "others lead what is in sync elsewhere; what is not takes no records",
			"lower retention (millrace topic alter TOPIC --set retention.ms=...) or add space; the broker is used again by itself"},
		{broker.FaultOffline, "logs offline", checkFail, "these replicas neither lead nor follow",
			"look at the broker's log, replace or repair the disk, start the broker again"},
		{broker.FaultDamaged, "damaged segments", checkFail, "bytes on disk have changed and no replica in sync could mend them: reads of them fail",
			"see that the partition has replicas in sync; else DeleteRecords up to the damage: millrace topic trim"},
		{broker.FaultUncleanable, "compaction", checkWarn, "the log is served, but grows: the cleaner has given it up",
			"start the broker again once the cause is gone"},
	} {
		if list := byKind[kind.fault]; len(list) > 0 {
			slices.Sort(list)
			out = append(out, check{Name: kind.name, Status: kind.status, Detail: fmt.Sprintf("%d %s: %s", len(list), kind.fault, someOf(list)), Why: kind.why, Fix: kind.fix})
		}
	}
	return out
}
