package replica

import (
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
)

// What is here is in no ordinary build: package planted says what for.

// plantedHighWatermark is what readers are shown.
func (p *Partition) plantedHighWatermark() int64 {
	highWatermark := p.highWatermark.Load()
	if l := p.log.Load(); l != nil && planted.Is(planted.HidesActiveSegment) {
		return min(highWatermark, log.PlantedSealedEnd(l))
	}
	return highWatermark
}

// plantedFollow leaves out what begins below the end of a log that was not cut: else it could not go on behind it. What is
// left follows that end, and the log stays wrong below it.
func plantedFollow(batches []record.Batch, end int64) []record.Batch {
	for planted.Is(planted.FollowsBlindly) && len(batches) > 0 && batches[0].BaseOffset() < end {
		batches = batches[1:]
	}
	return batches
}
