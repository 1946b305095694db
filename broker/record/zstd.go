package record

import (
	"errors"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// Kafka's compression.zstd.level: -131072 to 22, default 3. Our library has four speeds; it picks the nearest.

const (
	zstdDefaultLevel = 3
	zstdMaxBlock     = 128 << 10
	// zstdFirstGuess is the room for frames that do not tell their size, before it is known that they need more.
	zstdFirstGuess = 1 << 20
)

type zstdEncoder struct {
	*zstd.Encoder
	level zstd.EncoderLevel
}

func (c *Codecs) compressZstd(level int, dst, src []byte) ([]byte, error) {
	if level == 0 {
		level = zstdDefaultLevel
	}
	speed := zstd.EncoderLevelFromZstd(level)
	e, ok := c.zstdEncoders.Get().(*zstdEncoder)
	if !ok || e.level != speed {
		fresh, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderCRC(false), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return dst, err
		}
		e = &zstdEncoder{fresh, speed}
	}
	defer c.zstdEncoders.Put(e)
	return e.EncodeAll(src, dst), nil
}

func (c *Codecs) decompressZstd(dst, src []byte, maxBytes int) ([]byte, error) {
	least, bound, exact, err := zstdBound(src)
	if err != nil {
		return dst, errDecompress(Zstd, err)
	}
	if least > int64(maxBytes) || exact && bound > int64(maxBytes) {
		return dst, errTooLarge(maxBytes)
	}
	d, ok := c.zstdDecoders.Get().(*zstd.Decoder)
	if !ok {
		// The decoder may fill the room it is given and no more: the bound is ours to set, use by use.
		if d, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true)); err != nil {
			return dst, err
		}
	}
	defer c.zstdDecoders.Put(d)
	limit := int(min(bound, int64(maxBytes)))
	room := limit
	if !exact {
		room = min(limit, max(zstdFirstGuess, 8*len(src)))
	}
	start := len(dst)
	for {
		dst = slices.Grow(dst, room)
		out, err := d.DecodeAll(src, dst[:start:start+room])
		switch {
		case err == nil:
			return out, nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded):
			return dst[:start], errDecompress(Zstd, err)
		case room == limit && int64(limit) == bound:
			return dst[:start], errDecompress(Zstd, err)
		case room == limit:
			return dst[:start], errTooLarge(maxBytes)
		}
		room = limit
	}
}

// zstdBound is the least and the most that the frames of src can decompress to, found from block headers without
// decompressing; exact says that every frame tells its size, and bound is that. A frame that tells more than its blocks can
// make is refused: what a number claims is not allocated.
func zstdBound(src []byte) (least, bound int64, exact bool, err error) {
	exact = true
	for len(src) > 0 {
		var h zstd.Header
		if src, err = h.DecodeAndStrip(src); err != nil {
			return 0, 0, false, err
		}
		if h.Skippable {
			if uint64(h.SkippableSize) > uint64(len(src)) {
				return 0, 0, false, zstd.ErrUnexpectedBlockSize
			}
			src = src[h.SkippableSize:]
			continue
		}
		sure, blocks, used, err := zstdBlocks(src)
		if err != nil {
			return 0, 0, false, err
		}
		least += sure
		src = src[used:]
		if h.HasCheckSum {
			src = src[min(len(src), 4):]
		}
		switch {
		case !h.HasFCS:
			exact = false
			bound += blocks
		case h.FrameContentSize > uint64(blocks):
			return 0, 0, false, errors.New("the frame claims more than its blocks can hold")
		default:
			bound += int64(h.FrameContentSize)
		}
	}
	return least, bound, exact, nil
}

// zstdBlocks adds up what the blocks of one frame make at least and at most, and how many bytes they take.
func zstdBlocks(src []byte) (least, bound int64, used int, err error) {
	for {
		if len(src)-used < 3 {
			return 0, 0, 0, zstd.ErrUnexpectedBlockSize
		}
		h := uint32(src[used]) | uint32(src[used+1])<<8 | uint32(src[used+2])<<16
		used += 3
		size := int(h >> 3)
		switch kind := h >> 1 & 3; kind {
		case 0: // raw
			least, bound = least+int64(size), bound+int64(size)
		case 1: // one byte, repeated
			least, bound = least+int64(min(size, zstdMaxBlock)), bound+int64(min(size, zstdMaxBlock))
			size = 1
		case 2:
			bound += zstdMaxBlock
		default:
			return 0, 0, 0, zstd.ErrReservedBlockType
		}
		if size > len(src)-used {
			return 0, 0, 0, zstd.ErrUnexpectedBlockSize
		}
		used += size
		if h&1 == 1 {
			return least, bound, used, nil
		}
	}
}
