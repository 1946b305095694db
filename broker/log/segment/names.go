package segment

import (
	"fmt"
	"strconv"
	"strings"
)

// Suffixes of the files in a partition's directory.
const (
	LogSuffix       = ".log"
	IndexSuffix     = ".index"
	TimeIndexSuffix = ".timeindex"
	TxnIndexSuffix  = ".txnindex"
	SnapshotSuffix  = ".snapshot"

	DeletedSuffix = ".deleted" // after one of the above: to be removed
	CleanedSuffix = ".cleaned" // being written by the cleaner
	SwapSuffix    = ".swap"    // complete output of the cleaner, about to replace what it was made from
)

const digits = 20

// FileName is the 20-digit offset and a suffix.
func FileName(baseOffset int64, suffix string) string {
	return fmt.Sprintf("%0*d%s", digits, baseOffset, suffix)
}

// ParseFileName takes a file name apart; ok is false for files that are not named by an offset.
func ParseFileName(name string) (baseOffset int64, suffix string, ok bool) {
	if len(name) <= digits || name[digits] != '.' {
		return 0, "", false
	}
	for i := range digits {
		if name[i] < '0' || name[i] > '9' {
			return 0, "", false
		}
	}
	baseOffset, err := strconv.ParseInt(name[:digits], 10, 64)
	if err != nil {
		return 0, "", false
	}
	// A producer snapshot may carry a checkpoint id after its offset in other versions of Kafka; those are not ours.
	return baseOffset, strings.Clone(name[digits:]), true
}
