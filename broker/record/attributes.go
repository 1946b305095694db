package record

// Attributes are the flags of a batch.
type Attributes int16

const (
	codecMask        = 0x07
	timestampTypeBit = 0x08
	transactionalBit = 0x10
	controlBit       = 0x20
	deleteHorizonBit = 0x40

	// keptInPlace and keptAnew are the flags that outlive a change of the header, as in Kafka: unknown ones do not.
	keptInPlace = codecMask | timestampTypeBit | transactionalBit | controlBit | deleteHorizonBit
	keptAnew    = timestampTypeBit | transactionalBit | controlBit
)

func (a Attributes) Codec() Codec { return Codec(a & codecMask) }
func (a Attributes) TimestampType() TimestampType {
	return TimestampType(a & timestampTypeBit >> 3)
}
func (a Attributes) IsTransactional() bool { return a&transactionalBit != 0 }

// IsControl says that the one record is a transaction marker or another message of brokers to readers.
func (a Attributes) IsControl() bool { return a&controlBit != 0 }

// HasDeleteHorizon says that the base timestamp is the time at which compaction may drop tombstones and markers.
func (a Attributes) HasDeleteHorizon() bool { return a&deleteHorizonBit != 0 }

// TimestampType says who set the records' timestamps.
type TimestampType int8

const (
	CreateTime    TimestampType = 0
	LogAppendTime TimestampType = 1
)

// String is the value of message.timestamp.type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// Codec is how the records of a batch are compressed.
type Codec int8

const (
	None   Codec = 0
	Gzip   Codec = 1
	Snappy Codec = 2
	LZ4    Codec = 3
	Zstd   Codec = 4
)

// String is the codec's name in compression.type; "unknown" for a number that Kafka does not know.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	}
	return "unknown"
}
