package log

import (
	"strings"

	"github.com/millrace-io/millrace/broker/log/producer"
	"github.com/millrace-io/millrace/broker/planted"
	"github.com/millrace-io/millrace/broker/record"
)

// What is here is in no ordinary build: package planted says what for.

// plantedForget takes the offsets of one batch of sixteen and does not write it. The caller holds mu.
func (l *Log) plantedForget(w *appendScratch, b record.Batch) (forgotten bool) {
	if !planted.Is(planted.ForgetsBatches) || l.plantedInternal() || b.CRC()%16 != 0 {
		return false
	}
	w.next = b.NextOffset()
	if len(w.bufs) == 0 { // nobody else would say that the log has grown
		l.logEnd.Store(w.next)
	}
	return true
}

// plantedCheck lets in any sequence, also one that was here before.
func plantedCheck(check producer.Check) producer.Check {
	if planted.Is(planted.AppendsRetries) || planted.Is(planted.ExchangesBatches) {
		return producer.CheckNothing
	}
	return check
}

// PlantedSealedEnd is where the active segment begins. It is no method: the linker keeps those that nobody calls.
func PlantedSealedEnd(l *Log) int64 {
	if active := l.active(); active != nil && !l.plantedInternal() {
		return active.BaseOffset()
	}
	return l.logEnd.Load()
}

func (l *Log) plantedInternal() bool { return strings.HasPrefix(l.tp.Topic, "__") }
