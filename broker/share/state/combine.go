package state

import (
	"cmp"
	"slices"

	"github.com/millrace-io/millrace/broker/share/delivery"
)

// combine puts what a write says over what was known: of an offset the last word counts, and nothing below start. Batches
// that are alike are joined. Kafka (PersisterStateBatchCombiner) has the greater delivery count win instead of the later
// word, which is the same where a leader's writes come one after the other.
func combine(known, said []delivery.Batch, start int64) []delivery.Batch {
	said = ordered(said)
	all := make([]delivery.Batch, 0, len(known)+len(said))
	for _, b := range known {
		all = append(all, without(b, said)...)
	}
	all = append(all, said...)
	slices.SortFunc(all, func(a, b delivery.Batch) int { return cmp.Compare(a.First, b.First) })
	kept := all[:0]
	for _, b := range all {
		if b.Last < start {
			continue
		}
		b.First = max(b.First, start)
		if n := len(kept); n > 0 && kept[n-1].Last+1 == b.First && kept[n-1].State == b.State && kept[n-1].Count == b.Count {
			kept[n-1].Last = b.Last
			continue
		}
		kept = append(kept, b)
	}
	return slices.Clip(kept)
}

// ordered sorts what one write says; of what it says twice the later counts, and a batch that ends before it begins says
// nothing.
func ordered(said []delivery.Batch) []delivery.Batch {
	var sorted []delivery.Batch
	for _, b := range said {
		if b.First > b.Last {
			continue
		}
		var rest []delivery.Batch
		if n := len(sorted); n == 0 || sorted[n-1].Last < b.First {
			sorted = append(sorted, b)
			continue
		}
		for _, s := range sorted {
			rest = append(rest, without(s, []delivery.Batch{b})...)
		}
		sorted = append(rest, b)
		slices.SortFunc(sorted, func(a, b delivery.Batch) int { return cmp.Compare(a.First, b.First) })
	}
	return sorted
}

// without is what others, which are in order, leave of a batch.
func without(b delivery.Batch, others []delivery.Batch) []delivery.Batch {
	i, _ := slices.BinarySearchFunc(others, b.First, func(o delivery.Batch, first int64) int { return cmp.Compare(o.Last, first) })
	var left []delivery.Batch
	for ; i < len(others) && others[i].First <= b.Last; i++ {
		if others[i].First > b.First {
			before := b
			before.Last = others[i].First - 1
			left = append(left, before)
		}
		b.First = others[i].Last + 1
	}
	if b.First <= b.Last {
		left = append(left, b)
	}
	return left
}
