package record

// Entry is a record as it lies in an unpacked batch, for who keeps or drops records whole: what follows the length of the
// value is not looked at.
type Entry struct {
	OffsetDelta    int32
	TimestampDelta int64
	Key            []byte // nil is null; valid as long as the payload
	HasValue       bool   // false: null
}

// Entries steps over the records of a batch.
type Entries struct {
	payload []byte
	at      int
	left    int32
}

// NewEntries begins before the first record of b, whose records payload is, uncompressed.
func NewEntries(b Batch, payload []byte) Entries { return Entries{payload: payload, left: b.Count()} }

// Position is where in the payload the next record begins.
func (s *Entries) Position() int { return s.at }

// Next reads the next record. ok is false behind the last one.
func (s *Entries) Next(e *Entry) (ok bool, err error) {
	if s.left <= 0 {
		return false, s.end()
	}
	size, n := varint(s.payload[s.at:])
	if n <= 0 {
		return false, invalid("Incorrect declared batch size, premature EOF reached")
	}
	begin := s.at + n
	if size < minRecordSize || int(size) > len(s.payload)-begin {
		return false, invalidRecordSize(int(size), len(s.payload)-begin)
	}
	s.at = begin + int(size)
	s.left--
	return true, e.read(s.payload[begin:s.at:s.at])
}

func (s *Entries) end() error {
	switch {
	case s.left < 0:
		return invalid("Found invalid record count %d in magic v%d batch", s.left, magicV2)
	case s.at != len(s.payload):
		return errRemaining()
	}
	return nil
}

func (e *Entry) read(body []byte) error {
	at, used := 1, 0 // behind the attributes
	if e.TimestampDelta, used = varlong(body[at:]); used <= 0 {
		return errStructure()
	}
	at += used
	if e.OffsetDelta, used = varint(body[at:]); used <= 0 {
		return errStructure()
	}
	at += used
	if e.Key, used = nullableBytes(body[at:]); used <= 0 {
		return errStructure()
	}
	at += used
	size, used := varint(body[at:])
	if used <= 0 || int(size) > len(body)-at-used {
		return errStructure()
	}
	e.HasValue = size >= 0
	return nil
}

// Unpacked is the records of a batch without compression, until Done.
type Unpacked struct {
	Payload []byte
	codecs  *Codecs
	scratch *[]byte
}

// Unpack decompresses the records of b, at most maxBytes of them; 0 is DefaultMaxDecompressedBytes. Of a batch without
// compression it is the batch's own bytes.
func (c *Codecs) Unpack(b Batch, maxBytes int) (Unpacked, error) {
	payload, scratch, err := c.unpack(b, maxBytes)
	return Unpacked{payload, c, scratch}, err
}

// Done gives the memory back.
func (u *Unpacked) Done() { u.codecs.giveBuffer(u.scratch) }
