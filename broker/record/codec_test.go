package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"pgregory.net/rapid"
)

func TestCodecsRoundTrip(t *testing.T) {
	codecs := &Codecs{} // kept over all rounds: what one leaves behind must not show in the next
	rapid.Check(t, func(t *rapid.T) {
		codec := rapid.SampledFrom(allCodecs()).Draw(t, "codec")
		level := rapid.SampledFrom([]int{0, 1, 3, 9}).Draw(t, "level")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		src := make([]byte, rapid.IntRange(0, 300_000).Draw(t, "size"))
		for i := range src {
			src[i] = byte(rng.IntN(rapidSpread(i)))
		}
		packed, err := codecs.Compress(codec, level, []byte("before"), src)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(packed, []byte("before")) {
			t.Fatal("Compress did not append")
		}
		got, err := codecs.Decompress(codec, []byte("kept"), packed[len("before"):], len(src))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, append([]byte("kept"), src...)) {
			t.Fatalf("%v: %d bytes came back as %d others", codec, len(src), len(got))
		}
		if len(src) == 0 {
			return
		}
		if _, err = codecs.Decompress(codec, nil, packed[len("before"):], len(src)-1); !errors.Is(err, kerr.MessageTooLarge) {
			t.Fatalf("%v: one byte over the bound: %v", codec, err)
		}
	})
}

// rapidSpread makes stretches of little and of much variety.
func rapidSpread(i int) int { return 1 + (i/5000%3)*100 }

func TestLevelsOfKafkaAreTaken(t *testing.T) {
	src := bytes.Repeat([]byte(`{"order":12345,"state":"paid"}`), 1000)
	for codec, levels := range map[Codec][]int{Gzip: {-1, 1, 9}, LZ4: {1, 2, 9, 10, 17}, Zstd: {-131072, -1, 1, 3, 22}} {
		for _, level := range levels {
			packed, err := Compress(codec, level, nil, src)
			if err != nil {
				t.Fatalf("%v level %d: %v", codec, level, err)
			}
			if got, err := Decompress(codec, nil, packed, len(src)); err != nil || !bytes.Equal(got, src) {
				t.Fatalf("%v level %d: %v", codec, level, err)
			}
			if len(packed) > len(src)/5 {
				t.Errorf("%v level %d: %d bytes", codec, level, len(packed))
			}
		}
	}
	if _, err := Compress(Gzip, 10, nil, src); err == nil {
		t.Error("gzip level 10 was taken")
	}
}

func TestUnknownCodecIsRefused(t *testing.T) {
	_, packErr := Compress(5, 0, nil, nil)
	_, unpackErr := Decompress(7, nil, nil, 1)
	for _, err := range []error{packErr, unpackErr} {
		if !errors.Is(err, kerr.UnsupportedCompressionType) {
			t.Errorf("error %v", err)
		}
	}
}

func TestSnappyIsReadRawAndFramed(t *testing.T) {
	src := bytes.Repeat([]byte("raw blocks of other clients "), 5000)
	framed, err := Compress(Snappy, 0, nil, src)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(framed, []byte("\x82SNAPPY\x00\x00\x00\x00\x01\x00\x00\x00\x01")) {
		t.Fatalf("no xerial header: %x", framed[:16])
	}
	if size := binary.BigEndian.Uint32(framed[16:]); int(size) > xerialBlockSize {
		t.Fatalf("block of %d bytes", size)
	}
	for name, packed := range map[string][]byte{
		"raw":    s2.EncodeSnappy(nil, src),
		"framed": framed,
	} {
		if got, err := Decompress(Snappy, nil, packed, len(src)); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%s: %v", name, err)
		}
	}
	twice := append(bytes.Clone(framed), framed...)
	if got, err := Decompress(Snappy, nil, twice, 2*len(src)); err != nil || len(got) != 2*len(src) {
		t.Errorf("two streams in a row: %d bytes, %v", len(got), err)
	}
	if _, err := Decompress(Snappy, nil, twice, 2*len(src)-1); !errors.Is(err, kerr.MessageTooLarge) {
		t.Errorf("two streams over the bound: %v", err)
	}
}

// Blocks that repeat one byte tell what they make: a frame of them that makes too much is refused before it is decoded.
func TestZstdFramesOfRepeatedBytesAreMeasured(t *testing.T) {
	const blocks, rle, last = 100, 1 << 1, 1
	frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58} // without its size
	for i := range blocks {
		header := uint32(zstdMaxBlock<<3 | rle)
		if i == blocks-1 {
			header |= last
		}
		frame = append(frame, byte(header), byte(header>>8), byte(header>>16), 'x')
	}
	if least, bound, exact, err := zstdBound(frame); least != blocks*zstdMaxBlock || bound != least || exact || err != nil {
		t.Fatalf("at least %d, at most %d, exact %v, %v", least, bound, exact, err)
	}
	if got, err := Decompress(Zstd, nil, frame, blocks*zstdMaxBlock); err != nil || len(got) != blocks*zstdMaxBlock {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	allocations := testing.AllocsPerRun(10, func() {
		if _, err := Decompress(Zstd, nil, frame, blocks*zstdMaxBlock-1); !errors.Is(err, kerr.MessageTooLarge) {
			t.Fatal(err)
		}
	})
	if allocations > 10 {
		t.Errorf("%v allocations for a frame that is refused by its headers", allocations)
	}
}

func TestZstdFramesWithoutSize(t *testing.T) {
	src := make([]byte, 5<<20) // more than the first guess
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range src {
		src[i] = byte(rng.IntN(4))
	}
	packed := zstdStream(t, src)
	if _, bound, exact, err := zstdBound(packed); exact || err != nil || bound < int64(len(src)) {
		t.Fatalf("bound %d, exact %v, %v", bound, exact, err)
	}
	if got, err := Decompress(Zstd, nil, packed, 1<<30); err != nil || !bytes.Equal(got, src) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, err := Decompress(Zstd, nil, packed, len(src)-1); !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatalf("over the bound: %v", err)
	}
	zeros := zstdStream(t, make([]byte, 8<<20))
	if got, err := Decompress(Zstd, nil, zeros, 8<<20); err != nil || len(got) != 8<<20 {
		t.Fatalf("zeros: %d bytes, %v", len(got), err)
	}
	both := append(bytes.Clone(packed), zeros...)
	both = append(both, 0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y') // a frame to skip
	if got, err := Decompress(Zstd, nil, both, 1<<30); err != nil || len(got) != len(src)+8<<20 {
		t.Fatalf("frames in a row: %d bytes, %v", len(got), err)
	}
}

func zstdStream(t *testing.T, src []byte) []byte {
	t.Helper()
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for part := range bytesIn(src, 100_000) {
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func bytesIn(src []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(src) > 0 {
			part := src[:min(size, len(src))]
			src = src[len(part):]
			if !yield(part) {
				return
			}
		}
	}
}

// TestBombsStayWithinTheBound unpacks what makes 64 MiB or claims more, with a bound of one mebibyte.
func TestBombsStayWithinTheBound(t *testing.T) {
	const bound = 1 << 20
	large := func(codec Codec) []byte {
		packed, err := Compress(codec, 0, nil, make([]byte, 64<<20))
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	zstdClaim := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 0x40, 1, 0, 0} // 1 GiB, one empty raw block
	for name, bomb := range map[string]struct {
		codec Codec
		bytes []byte
		want  *kerr.Error
	}{
		"gzip":                       {Gzip, large(Gzip), kerr.MessageTooLarge},
		"snappy":                     {Snappy, large(Snappy), kerr.MessageTooLarge},
		"lz4":                        {LZ4, large(LZ4), kerr.MessageTooLarge},
		"zstd":                       {Zstd, large(Zstd), kerr.MessageTooLarge},
		"zstd stream":                {Zstd, zstdStream(t, make([]byte, 64<<20)), kerr.MessageTooLarge},
		"snappy that claims 4 GiB":   {Snappy, binary.AppendUvarint(nil, 1<<32-1), kerr.InvalidRecord},
		"snappy that claims 900 KiB": {Snappy, append(binary.AppendUvarint(nil, 900<<10), 0, 1), kerr.InvalidRecord},
		"zstd that claims 1 GiB":     {Zstd, zstdClaim, kerr.InvalidRecord},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err := Decompress(bomb.codec, nil, bomb.bytes, bound)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, bomb.want) {
				t.Fatalf("error %v, want %v", err, bomb.want)
			}
			// The bound, what doubling leaves behind on the way, and the decoder's own tables and windows.
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 4*bound+(9<<20) {
				t.Fatalf("allocated %d bytes", grown)
			}
		})
	}
}

func TestDamagedPayloadsAreRefused(t *testing.T) {
	src := bytes.Repeat([]byte("damage "), 3000)
	rng := rand.New(rand.NewPCG(7, 7))
	codecs := &Codecs{}
	for _, codec := range allCodecs()[1:] {
		whole, err := Compress(codec, 0, nil, src)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range min(len(whole), 200) {
			if got, err := codecs.Decompress(codec, nil, whole[:cut], 1<<20); err == nil && len(got) == len(src) {
				t.Errorf("%v cut at %d of %d came back whole", codec, cut, len(whole))
			}
		}
		for range 300 {
			bad := bytes.Clone(whole)
			bad[rng.IntN(len(bad))] ^= byte(1 + rng.IntN(255))
			got, err := codecs.Decompress(codec, nil, bad, 1<<20) // it may not notice, but neither panic nor exceed the bound
			if err == nil && len(got) > 1<<20 {
				t.Errorf("%v: %d bytes", codec, len(got))
			}
			var c *CorruptError
			if err != nil && !errors.As(err, &c) {
				t.Errorf("%v: an error of another type: %v", codec, err)
			}
		}
		if got, err := codecs.Decompress(codec, nil, whole, 1<<20); err != nil || !bytes.Equal(got, src) {
			t.Errorf("%v: a decoder that had failed does not work again: %v", codec, err)
		}
	}
}

func BenchmarkCodecs(b *testing.B) {
	src := bytes.Repeat([]byte(`{"order":12345,"state":"paid","customer":"c-77812","amount":1999}`), 1000)
	codecs := &Codecs{}
	for _, codec := range allCodecs()[1:] {
		packed, err := codecs.Compress(codec, 0, nil, src)
		if err != nil {
			b.Fatal(err)
		}
		b.Run("compress/"+codec.String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = codecs.Compress(codec, 0, dst[:0], src)
			}
		})
		b.Run("decompress/"+codec.String(), func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = codecs.Decompress(codec, dst[:0], packed, len(src))
			}
		})
	}
}
