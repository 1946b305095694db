package coordinator

import (
	"math"
	"unicode/utf16"
)

// PartitionFor is the partition of an internal topic, of so many, that holds a name; -1 where there are none. The rule is
// Kafka's: the absolute value of Java's hash of the name, modulo the number of partitions.
func PartitionFor(name string, count int32) int32 {
	if count <= 0 {
		return -1
	}
	h := javaHash(name)
	switch {
	case h == math.MinInt32:
		return 0
	case h < 0:
		h = -h
	}
	return h % count
}

// javaHash is String.hashCode: over UTF-16 units, with 32-bit overflow.
func javaHash(s string) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(unit)
	}
	return h
}
