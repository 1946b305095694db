package api

import (
	"encoding/hex"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fillAny gives every field of a request a random value; it keeps the version.
func fillAny(rng *rand.Rand, v reflect.Value, top bool) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			switch {
			case name == "UnknownTags":
				if rng.IntN(2) == 0 {
					v.Field(i).Addr().Interface().(*kmsg.Tags).Set(1000+rng.Uint32N(1000), make([]byte, rng.IntN(200)))
				}
			case name == "Version" && top:
			default:
				fillAny(rng, v.Field(i), false)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes(make([]byte, rng.IntN(300)))
			return
		}
		n := rng.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fillAny(rng, v.Index(i), false)
		}
	case reflect.Pointer:
		if rng.IntN(2) == 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fillAny(rng, v.Elem(), false)
		}
	case reflect.String:
		v.SetString(string(make([]byte, rng.IntN(200))))
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(rng.Int64() >> (64 - v.Type().Bits()))
	case reflect.Array:
		for i := range v.Len() {
			v.Index(i).SetUint(rng.Uint64N(256))
		}
	}
}

func eachFlexible(t *testing.T, do func(t *testing.T, row *Row, version int16, layout []element)) {
	t.Helper()
	rows := Table()
	flexible := 0
	for i := range rows {
		for version := rows[i].MinVersion; rows[i].newRequest != nil && version <= rows[i].MaxVersion; version++ {
			if layout := deriveLayout(&rows[i], version); layout != nil {
				flexible++
				do(t, &rows[i], version, layout)
			}
		}
	}
	if flexible < 40 {
		t.Fatalf("only %d flexible versions were looked at", flexible)
	}
}

func TestLayoutWalksWhatKmsgEncodes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		for range 60 {
			request := row.newRequest()
			fillAny(rng, reflect.ValueOf(request).Elem(), true)
			request.SetVersion(version)
			body := request.AppendTo(nil)
			if rest, ok := walkRequest(layout, body); !ok || len(rest) != 0 {
				t.Fatalf("%s v%d: walked %v with %d of %d bytes left", kmsg.NameForKey(row.Key), version, ok, len(rest), len(body))
			}
			if cut := rng.IntN(len(body)); cut < len(body) {
				if rest, ok := walkRequest(layout, body[:cut]); ok && len(rest) != 0 {
					t.Fatalf("%s v%d: %d bytes left of a body that was cut", kmsg.NameForKey(row.Key), version, len(rest))
				}
			}
		}
	})
}

func TestLayoutRefusesTagBombs(t *testing.T) {
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		request := row.newRequest()
		request.SetVersion(version)
		body := request.AppendTo(nil)
		bomb := append(body[:len(body)-1:len(body)-1], 0xff, 0xff, 0xff, 0xff, 0x0f) // the last byte counts the tags
		if _, ok := walkRequest(layout, bomb); ok {
			t.Errorf("%s v%d: a body that claims 4 billion tags was let through", kmsg.NameForKey(row.Key), version)
		}
	})
	for _, tc := range []struct {
		key     kmsg.Key
		version int16
		body    string
	}{
		{kmsg.DescribeConfigs, 4, "00e85999a5ffe60e"},                   // took 40 s to decode
		{kmsg.FindCoordinator, 6, "30020a3030303051303030a691808e3000"}, // took 4.6 s
	} {
		body, err := hex.DecodeString(tc.body)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range Table() {
			if row.Key == tc.key.Int16() && newGuard(&row).admits(tc.version, body) {
				t.Errorf("%s v%d: the body was let through", tc.key.Name(), tc.version)
			}
		}
	}
}
