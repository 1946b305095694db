package server

import (
	"encoding/binary"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var errShortHeader = errors.New("the frame ends inside the request header")

// noFlexibleVersion is above every version.
const noFlexibleVersion = 1<<15 - 1

// flexibleFrom holds, by API key, the first version whose request header carries tagged fields.
type flexibleFrom [128]int16

func newFlexibleFrom() *flexibleFrom {
	var f flexibleFrom
	for key := range f {
		f[key] = noFlexibleVersion
		req := kmsg.RequestForKey(int16(key))
		if req == nil {
			continue
		}
		for version := int16(0); version <= req.MaxVersion(); version++ {
			req.SetVersion(version)
			if req.IsFlexible() {
				f[key] = version
				break
			}
		}
	}
	return &f
}

func (f *flexibleFrom) is(key, version int16) bool {
	return key >= 0 && int(key) < len(f) && version >= f[key]
}

// parse reads the header of a frame into req. Its ClientID keeps its string when the bytes are the same, so that a
// connection's requests share one.
func (f *flexibleFrom) parse(frame []byte, req *Request) error {
	if len(frame) < 10 {
		return errShortHeader
	}
	req.SizeBytes = len(frame)
	req.Key = int16(binary.BigEndian.Uint16(frame))
	req.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	req.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	n := int(int16(binary.BigEndian.Uint16(frame[8:])))
	rest := frame[10:]
	switch {
	case n < -1 || n > len(rest):
		return errShortHeader
	case n <= 0:
		req.ClientID = ""
	default:
		if string(rest[:n]) != req.ClientID {
			req.ClientID = string(rest[:n])
		}
		rest = rest[n:]
	}
	req.Flexible = f.is(req.Key, req.Version)
	if req.Flexible {
		var ok bool
		if rest, ok = skipTags(rest); !ok {
			return errShortHeader
		}
	}
	req.Body = rest
	return nil
}

func skipTags(p []byte) (rest []byte, ok bool) {
	count, n := binary.Uvarint(p)
	if n <= 0 {
		return nil, false
	}
	p = p[n:]
	for ; count > 0; count-- {
		_, n := binary.Uvarint(p)
		if n <= 0 {
			return nil, false
		}
		p = p[n:]
		size, n := binary.Uvarint(p)
		if n <= 0 || size > uint64(len(p)-n) {
			return nil, false
		}
		p = p[n+int(size):]
	}
	return p, true
}
