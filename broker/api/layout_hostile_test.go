package api

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What kmsg may take for a body that the walk admits: far above what any takes, far below what a bomb takes.
const decodePatience = 5 * time.Second

var hugeCount = []byte{0xff, 0xff, 0xff, 0xff, 0x0f}

// sections returns where in whole the tag sections of the struct at the start of body are, and what follows it.
func sections(t *testing.T, fields []element, whole, body []byte, at []int) ([]int, []byte) {
	t.Helper()
	for i := range fields {
		e := &fields[i]
		switch {
		case e.tags:
			at = append(at, len(whole)-len(body))
		case e.array:
			n, elements, _ := uvarint32(body)
			for range max(n, 1) - 1 {
				at, elements = sections(t, e.fields, whole, elements, at)
			}
			body = elements
			continue
		case e.nullable && body[0] != 0xff:
			at, body = sections(t, e.fields, whole, body[1:], at)
			continue
		}
		var ok bool
		tags := maxTags(body)
		if body, ok = e.walk(body, &tags); !ok {
			t.Fatalf("% x cannot be walked", whole)
		}
	}
	return at, body
}

func countSections(fields []element) int {
	n := 0
	for _, e := range fields {
		n += countSections(e.fields)
		if e.tags {
			n++
		}
	}
	return n
}

// fillFull leaves nothing out, so that every tag section is there.
func fillFull(request kmsg.Request, version int16) []byte {
	fill(reflect.ValueOf(request).Elem())
	request.SetVersion(version)
	return request.AppendTo(nil)
}

func TestLayoutRefusesBombsInEverySection(t *testing.T) {
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		whole := fillFull(row.newRequest(), version)
		at, rest := sections(t, layout, whole, whole, nil)
		if len(at) != countSections(layout) || len(rest) != 0 {
			t.Fatalf("%s v%d: %d of %d tag sections, %d bytes left", kmsg.NameForKey(row.Key), version, len(at), countSections(layout), len(rest))
		}
		for _, i := range at {
			if _, ok := walkRequest(layout, slices.Concat(whole[:i], hugeCount, whole[i+1:])); ok {
				t.Errorf("%s v%d: a bomb at byte %d of %d was let through", kmsg.NameForKey(row.Key), version, i, len(whole))
			}
		}
	})
}

// A body that is full of the smallest tagged fields costs kmsg a map entry for each two bytes.
func TestLayoutRefusesBodiesThatAreAllTags(t *testing.T) {
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		whole := fillFull(row.newRequest(), version)
		at, _ := sections(t, layout, whole, whole, nil)
		body := slices.Clone(whole[:at[len(at)-1]]) // up to the section at the end
		const count = 100_000
		body = binary.AppendUvarint(body, count)
		for tag := range uint64(count) {
			body = append(binary.AppendUvarint(body, 1000+tag), 0)
		}
		if _, ok := walkRequest(layout, body); ok {
			t.Errorf("%s v%d takes %d tagged fields in %d bytes", kmsg.NameForKey(row.Key), version, count, len(body))
		}
	})
}

// Every prefix is refused by the walk, as all that a version has is needed.
func TestLayoutRefusesCutBodies(t *testing.T) {
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		whole := fillFull(row.newRequest(), version)
		for n := range whole {
			if _, ok := walkRequest(layout, whole[:n]); ok {
				t.Errorf("%s v%d: %d of %d bytes were let through", kmsg.NameForKey(row.Key), version, n, len(whole))
			}
		}
	})
}

// decodeInTime fails when kmsg takes long for a body that the walk admits.
func decodeInTime(t *testing.T, row *Row, version int16, layout []element, body []byte) {
	t.Helper()
	if _, ok := walkRequest(layout, body); !ok {
		return
	}
	request := row.newRequest()
	request.SetVersion(version)
	start := time.Now()
	_ = request.ReadFrom(slices.Clone(body))
	if took := time.Since(start); took > decodePatience {
		t.Fatalf("%s v%d: %v for % x", kmsg.NameForKey(row.Key), version, took, body)
	}
}

func TestLayoutAdmitsNothingSlow(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		for range 200 {
			request := row.newRequest()
			fillAny(rng, reflect.ValueOf(request).Elem(), true)
			request.SetVersion(version)
			body := request.AppendTo(nil)
			for range 1 + rng.IntN(3) {
				i := rng.IntN(len(body))
				switch rng.IntN(3) {
				case 0:
					body[i] = byte(rng.Uint32())
				case 1:
					body = slices.Concat(body[:i], hugeCount, body[i+1:])
				case 2:
					body[i] |= 0x80
				}
			}
			decodeInTime(t, row, version, layout, body)
		}
	})
}

// kmsg takes every marker but -1 for a struct that is there; the walk must too, or it looks for tags elsewhere.
func TestLayoutReadsNullMarkersAsKmsg(t *testing.T) {
	// No topics, limit 0, the marker; then a tag of 7 bytes to who takes that for null, else topic "", a partition and
	// 2^25-1 tags.
	head, tail := "0100000000", "010007"+"0000"+"ffffff0f"+"00"
	for _, marker := range []string{"80", "fe", "00", "01", "7f"} {
		body, err := hex.DecodeString(head + marker + tail)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range Table() {
			if row.Key == kmsg.DescribeTopicPartitions.Int16() && newGuard(&row).admits(0, body) {
				t.Errorf("marker %s: the body was let through", marker)
			}
		}
	}
}

// Bytes that kmsg does not look at may be anything, but no tagged field that kmsg knows may have sections of its own:
// the walk does not look into tagged fields. Those of BrokerHeartbeat, which only brokers send, are lists of ids.
func TestNoRowHasKnownTaggedFields(t *testing.T) {
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		if row.Key == kmsg.BrokerHeartbeat.Int16() && row.Internal {
			return
		}
		request := row.newRequest()
		body := fillFull(request, version)
		at, _ := sections(t, layout, body, body, nil)
		for _, i := range at {
			if body[i] != 0 {
				t.Errorf("%s v%d: the section at byte %d has %d tagged fields", kmsg.NameForKey(row.Key), version, i, body[i])
			}
		}
	})
}

func FuzzLayout(f *testing.F) {
	rows := Table()
	for i := range rows {
		if rows[i].newRequest != nil {
			f.Add(rows[i].Key, rows[i].MaxVersion, fillFull(rows[i].newRequest(), rows[i].MaxVersion))
		}
	}
	for i := range rows {
		if rows[i].newRequest != nil {
			rows[i].guard = newGuard(&rows[i])
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		for i := range rows {
			row := &rows[i]
			if row.Key == key && row.guard != nil && version >= row.MinVersion && version <= row.MaxVersion {
				if layout := row.guard.versions[version-row.MinVersion](); layout != nil {
					decodeInTime(t, row, version, layout, body)
				}
			}
		}
	})
}
