package segment

import (
	"errors"
	"reflect"
	"testing"
)

func TestIndexAnswersAreBatchBoundaries(t *testing.T) {
	var x Index
	x.addOffset(9, 100)
	x.addOffset(19, 200)
	x.addOffset(29, 300)
	for _, test := range []struct {
		relative uint32
		position uint32
		ok       bool
	}{{0, 0, false}, {8, 0, false}, {9, 100, true}, {18, 100, true}, {19, 200, true}, {1000, 300, true}} {
		if e, ok := x.floor(test.relative); ok != test.ok || e.position != test.position {
			t.Errorf("floor(%d) = %+v, %v", test.relative, e, ok)
		}
	}
	for _, test := range []struct {
		after, limit, want int64
		ok                 bool
	}{{0, 99, 0, false}, {0, 100, 100, true}, {100, 199, 0, false}, {100, 250, 200, true}, {0, 1000, 300, true}, {300, 1000, 0, false}} {
		if got, ok := x.boundary(test.after, test.limit); ok != test.ok || got != test.want {
			t.Errorf("boundary(%d, %d) = %d, %v", test.after, test.limit, got, ok)
		}
	}
	x.truncate(29, 1000)
	if len(x.offsets) != 2 {
		t.Errorf("%d entries after truncation", len(x.offsets))
	}
}

func TestTimeIndexOnlyRises(t *testing.T) {
	var x Index
	for _, e := range []timeEntry{{-1, 0}, {100, 5}, {100, 9}, {90, 12}, {110, 4}, {120, 20}} {
		x.addTime(e.timestampMillis, e.relativeOffset)
	}
	if want := []timeEntry{{100, 5}, {120, 20}}; !reflect.DeepEqual(x.times, want) {
		t.Fatalf("%+v", x.times)
	}
}

func TestIndexFilesAreReadAsWritten(t *testing.T) {
	var x Index
	x.addOffset(3, 70)
	x.addOffset(8, 200)
	x.addTime(1000, 3)
	x.addTime(2000, 8)
	offsets, err := decodeOffsets(x.encodeOffsets(), 300)
	if err != nil || !reflect.DeepEqual(offsets, x.offsets) {
		t.Fatal(offsets, err)
	}
	times, err := decodeTimes(x.encodeTimes())
	if err != nil || !reflect.DeepEqual(times, x.times) {
		t.Fatal(times, err)
	}
	if _, err := decodeOffsets(x.encodeOffsets(), 200); !errors.Is(err, ErrCorruptIndex) {
		t.Fatalf("an entry behind the end of the data: %v", err)
	}
	if _, err := decodeOffsets(make([]byte, 16), 300); !errors.Is(err, ErrCorruptIndex) {
		t.Fatalf("zeros: %v", err)
	}
	aborted := []AbortedTxn{{1, 10, 12, 11}, {2, 11, 20, 21}}
	got, err := decodeAborted(encodeAborted(aborted), 5)
	if err != nil || !reflect.DeepEqual(got, aborted) {
		t.Fatal(got, err)
	}
	if _, err := decodeAborted(encodeAborted(aborted), 13); !errors.Is(err, ErrCorruptIndex) {
		t.Fatalf("an entry before the segment: %v", err)
	}
}

func FuzzDecodeIndexes(f *testing.F) {
	var x Index
	x.addOffset(3, 70)
	x.addOffset(8, 200)
	x.addTime(1000, 3)
	f.Add(x.encodeOffsets())
	f.Add(x.encodeTimes())
	f.Add(encodeAborted([]AbortedTxn{{1, 10, 12, 11}}))
	f.Fuzz(func(t *testing.T, p []byte) {
		if offsets, err := decodeOffsets(p, 1<<20); err == nil {
			x := Index{offsets: offsets}
			if string(x.encodeOffsets()) != string(p) {
				t.Fatal("offset index changed on its way")
			}
			x.floor(17)
			x.boundary(0, 1000)
		}
		if times, err := decodeTimes(p); err == nil {
			x := Index{times: times}
			if string(x.encodeTimes()) != string(p) {
				t.Fatal("time index changed on its way")
			}
		}
		if txns, err := decodeAborted(p, 0); err == nil && string(encodeAborted(txns)) != string(p) {
			t.Fatal("transaction index changed on its way")
		}
	})
}

func FuzzParseFileName(f *testing.F) {
	f.Add("00000000000000000042.log")
	f.Add("00000000000000000042.log.deleted")
	f.Add("99999999999999999999.index")
	f.Fuzz(func(t *testing.T, name string) {
		if base, suffix, ok := ParseFileName(name); ok && FileName(base, suffix) != name {
			t.Fatalf("%q is not %q", FileName(base, suffix), name)
		}
	})
}
