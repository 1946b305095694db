package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batchSpec describes one record batch in a script. Everything has a sensible default; the fields under "lies" make the
// batch wrong on purpose.
type batchSpec struct {
	Codec         string       `yaml:"codec"`         // none, gzip, snappy, lz4, zstd
	Records       []recordSpec `yaml:"records"`       //
	Base          *int64       `yaml:"base"`          // base offset as a client may send it: 0
	ProducerID    *string      `yaml:"producerID"`    // default -1; may be a saved variable
	ProducerEpoch *int16       `yaml:"producerEpoch"` // default -1
	Sequence      *int32       `yaml:"sequence"`      // default -1
	Attributes    int16        `yaml:"attributes"`    // further attribute bits
	Epoch         *int32       `yaml:"epoch"`         // partition leader epoch: -1

	Magic         *int8  `yaml:"magic"`         // lies
	CRC           *int32 `yaml:"crc"`           //
	Count         *int32 `yaml:"count"`         //
	LastDelta     *int32 `yaml:"lastDelta"`     //
	LengthPlus    int32  `yaml:"lengthPlus"`    // added to the length field
	Cut           int    `yaml:"cut"`           // bytes missing at the end
	Garbage       bool   `yaml:"garbage"`       // the records are no records, nor compressed data
	MaxTimestamp  *int64 `yaml:"maxTimestamp"`  //
	BaseTimestamp *int64 `yaml:"baseTimestamp"` //
}

type recordSpec struct {
	Key       *string     `yaml:"key"`
	Value     *string     `yaml:"value"`
	Timestamp int64       `yaml:"timestamp"` // milliseconds; default 1700000000000 plus its place
	Headers   [][2]string `yaml:"headers"`
	Offset    *int32      `yaml:"offset"` // offset delta; default its place
}

// firstTimestamp is when the first record of a batch was made unless the script says otherwise.
const firstTimestamp = 1700000000000

var codecs = map[string]int16{"": 0, "none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}

func (f *filler) encodeBatches(specs []batchSpec) ([]byte, error) {
	var all []byte
	for i := range specs {
		b, err := f.encodeBatch(&specs[i])
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	return all, nil
}

func (f *filler) encodeBatch(s *batchSpec) ([]byte, error) {
	codec, ok := codecs[s.Codec]
	if !ok {
		return nil, fmt.Errorf("no codec is named %q", s.Codec)
	}
	count := int32(len(s.Records))
	batch := kmsg.RecordBatch{
		FirstOffset: or(s.Base, 0), PartitionLeaderEpoch: or(s.Epoch, -1), Magic: or(s.Magic, 2), Attributes: s.Attributes | codec,
		LastOffsetDelta: or(s.LastDelta, count-1), ProducerID: -1, ProducerEpoch: or(s.ProducerEpoch, -1), FirstSequence: or(s.Sequence, -1), NumRecords: or(s.Count, count),
	}
	if s.ProducerID != nil {
		id, err := sum(f.expand(*s.ProducerID), 64)
		if err != nil {
			return nil, err
		}
		batch.ProducerID = id
	}
	records, first, last := f.encodeRecords(s.Records)
	batch.FirstTimestamp, batch.MaxTimestamp = or(s.BaseTimestamp, first), or(s.MaxTimestamp, last)
	var err error
	if batch.Records, err = compress(records, codec); err != nil {
		return nil, err
	}
	if s.Garbage {
		batch.Records = []byte("this is neither a record nor compressed")
	}
	out := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(out[8:], uint32(int32(len(out)-12)+s.LengthPlus))
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	if s.CRC != nil {
		binary.BigEndian.PutUint32(out[17:], uint32(*s.CRC))
	}
	return out[:len(out)-s.Cut], nil
}

func or[T any](value *T, otherwise T) T {
	if value != nil {
		return *value
	}
	return otherwise
}

func (f *filler) encodeRecords(specs []recordSpec) (out []byte, first, last int64) {
	for i, s := range specs {
		if s.Timestamp == 0 {
			s.Timestamp = firstTimestamp + int64(i)
		}
		if i == 0 {
			first, last = s.Timestamp, s.Timestamp
		}
		last = max(last, s.Timestamp)
		r := kmsg.Record{TimestampDelta64: s.Timestamp - first, OffsetDelta: or(s.Offset, int32(i)), Key: f.optional(s.Key), Value: f.optional(s.Value)}
		for _, h := range s.Headers {
			r.Headers = append(r.Headers, kmsg.Header{Key: h[0], Value: []byte(h[1])})
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) // one byte: the length 0
		out = r.AppendTo(out)
	}
	return out, first, last
}

func (f *filler) optional(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(f.expand(*text))
}

func compress(records []byte, codec int16) ([]byte, error) {
	by := map[int16]kgo.CompressionCodec{1: kgo.GzipCompression(), 2: kgo.SnappyCompression(), 3: kgo.Lz4Compression(), 4: kgo.ZstdCompression()}
	choice, ok := by[codec]
	if !ok {
		return records, nil
	}
	c, err := kgo.DefaultCompressor(choice)
	if err != nil {
		return nil, err
	}
	compressed, _ := c.Compress(new(bytes.Buffer), records)
	return bytes.Clone(compressed), nil
}

// describeBatches writes the batches of a fetched partition as lines, header and records.
func describeBatches(data []byte, producerID func(int64) string, clock func(int64) string) []string {
	var lines []string
	for len(data) > 0 {
		if len(data) < 61 {
			return append(lines, fmt.Sprintf("%d bytes of a batch", len(data)))
		}
		var b kmsg.RecordBatch
		if err := b.ReadFrom(data); err != nil {
			return append(lines, fmt.Sprintf("a batch cut short, base offset %d", int64(binary.BigEndian.Uint64(data))))
		}
		size := 12 + int(b.Length)
		valid := crc32.Checksum(data[21:size], crc32.MakeTable(crc32.Castagnoli)) == uint32(b.CRC)
		lines = append(lines, fmt.Sprintf("batch base %d epoch %d magic %d attributes %#x lastDelta %d times %s..%s producer %s/%d sequence %d count %d crc %t",
			b.FirstOffset, b.PartitionLeaderEpoch, b.Magic, b.Attributes, b.LastOffsetDelta, clock(b.FirstTimestamp), clock(b.MaxTimestamp),
			producerID(b.ProducerID), b.ProducerEpoch, b.FirstSequence, b.NumRecords, valid))
		lines = append(lines, describeRecords(&b)...)
		data = data[size:]
	}
	return lines
}

func describeRecords(b *kmsg.RecordBatch) []string {
	raw, err := kgo.DefaultDecompressor().Decompress(b.Records, kgo.CompressionCodecType(b.Attributes&7))
	if err != nil {
		return []string{"  records do not decompress"}
	}
	var lines []string
	for range b.NumRecords {
		length, n := binary.Varint(raw)
		if n <= 0 || length < 0 || int(length) > len(raw)-n {
			return append(lines, "  a record cut short")
		}
		var r kmsg.Record
		if err := r.ReadFrom(raw[:n+int(length)]); err != nil {
			return append(lines, "  an unreadable record")
		}
		raw = raw[n+int(length):]
		text := fmt.Sprintf("  record +%d time +%d key %s value %s", r.OffsetDelta, r.TimestampDelta64, quoteBytes(r.Key), quoteBytes(r.Value))
		for _, h := range r.Headers {
			text += fmt.Sprintf(" %s=%s", h.Key, quoteBytes(h.Value))
		}
		lines = append(lines, text)
	}
	return lines
}

// quoteBytes shows null, short texts whole and long ones by length.
func quoteBytes(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 200:
		return fmt.Sprintf("%q... %d bytes", b[:20], len(b))
	}
	return strings.ToValidUTF8(fmt.Sprintf("%q", b), "?")
}
