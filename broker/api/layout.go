package api

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kmsg counts down the number of tagged fields that a body claims without looking whether bytes are left, so that eight
// bytes can cost it a minute of a core. A layout is what a flexible body of one API and version must look like; walking
// the body by it first refuses counts and lengths that the bytes left cannot hold (compare CVE-2026-111115).

// element is one field on the wire. Exactly one of its shapes applies.
type element struct {
	fixedBytes int       // a field of that size, when greater than 0
	compact    bool      // uvarint of length + 1, then as many bytes
	array      bool      // uvarint of count + 1, then as many of fields
	nullable   bool      // a byte that says whether fields follow
	fields     []element // of the elements of an array, or of a nullable struct
	tags       bool      // a section of tagged fields
}

// guard holds the layouts of one row by version, each derived when it is first needed.
type guard struct {
	row      *Row
	versions []func() []element // from MinVersion on
}

func newGuard(row *Row) *guard {
	g := &guard{row: row}
	for version := row.MinVersion; version <= row.MaxVersion; version++ {
		g.versions = append(g.versions, sync.OnceValue(func() []element { return deriveLayout(row, version) }))
	}
	return g
}

// admits reports whether the body can be what it claims to be. Bodies of versions without tagged fields always can.
func (g *guard) admits(version int16, body []byte) bool {
	layout := g.versions[version-g.row.MinVersion]()
	if layout == nil {
		return true
	}
	_, ok := walkRequest(layout, body)
	return ok
}

func walkRequest(layout []element, body []byte) (rest []byte, ok bool) {
	tags := maxTags(body)
	return walkBody(layout, body, &tags)
}

// maxTags is how many tagged fields a body may have: no row knows any, and kmsg keeps each unknown one in a map, at up to 58
// times the two bytes that it takes at least. A client of a later version has a few in each element, of more bytes.
func maxTags(body []byte) int { return 1024 + len(body)/8 }

// deriveLayout finds out by trying which fields kmsg puts on the wire, in which order and how. Nil: the version is not
// flexible.
func deriveLayout(row *Row, version int16) []element {
	request := row.newRequest()
	request.SetVersion(version)
	if !request.IsFlexible() {
		return nil
	}
	if d, ok := request.(interface{ Default() }); ok {
		d.Default()
	}
	request.SetVersion(version)
	return probeStruct(request, reflect.ValueOf(request).Elem())
}

// probeStruct describes v, a struct inside the request: each field is changed in turn and the bytes compared.
func probeStruct(request kmsg.Request, v reflect.Value) []element {
	base := request.AppendTo(nil)
	tagsAt := -1
	if tags := v.FieldByName("UnknownTags"); tags.IsValid() {
		tags.Addr().Interface().(*kmsg.Tags).Set(math.MaxInt32, nil)
		tagsAt = firstDifference(base, request.AppendTo(nil))
		tags.SetZero()
	}
	var fields []element
	for i := range v.NumField() {
		field, name := v.Field(i), v.Type().Field(i).Name
		if name == "UnknownTags" || name == "Version" && field.Kind() == reflect.Int16 && v.Addr().Interface() == any(request) {
			continue
		}
		before := reflect.New(field.Type()).Elem()
		before.Set(field)
		change(field)
		at := firstDifference(base, request.AppendTo(nil))
		if at >= 0 && at != tagsAt { // else not in this version, or a tagged field itself
			fields = append(fields, probeField(request, field))
		}
		field.Set(before)
	}
	if tagsAt >= 0 {
		fields = append(fields, element{tags: true})
	}
	return fields
}

// probeField describes a field that change has filled.
func probeField(request kmsg.Request, field reflect.Value) element {
	t := field.Type()
	switch t.Kind() {
	case reflect.String:
		return element{compact: true}
	case reflect.Array:
		return element{fixedBytes: t.Len()}
	case reflect.Pointer:
		if t.Elem().Kind() == reflect.Struct {
			return element{nullable: true, fields: probeStruct(request, field.Elem())}
		}
		return element{compact: true}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return element{compact: true}
		}
		if t.Elem().Kind() == reflect.Struct {
			return element{array: true, fields: probeStruct(request, field.Index(0))}
		}
		return element{array: true, fields: []element{probeField(request, field.Index(0))}}
	}
	return element{fixedBytes: int(t.Size())} // booleans and numbers
}

// change gives a field another value than it has: slices one element, pointers something to point at.
func change(field reflect.Value) {
	switch t := field.Type(); t.Kind() {
	case reflect.Bool:
		field.SetBool(!field.Bool())
	case reflect.String:
		field.SetString(field.String() + "x")
	case reflect.Float32, reflect.Float64:
		field.SetFloat(field.Float() + 1)
	case reflect.Array:
		field.Index(0).SetUint(field.Index(0).Uint() + 1)
	case reflect.Pointer:
		field.Set(reflect.New(t.Elem()))
		setDefaults(field)
		if t.Elem().Kind() == reflect.String {
			field.Elem().SetString("x") // where a field cannot be null, kmsg writes null as ""
		}
	case reflect.Slice:
		field.Set(reflect.MakeSlice(t, 1, 1))
		setDefaults(field.Index(0).Addr())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		field.SetInt(field.Int() ^ 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		field.SetUint(field.Uint() ^ 1)
	default:
		panic("BUG: a request has a field of kind " + t.Kind().String())
	}
}

func setDefaults(pointer reflect.Value) {
	if d, ok := pointer.Interface().(interface{ Default() }); ok {
		d.Default()
	}
}

// firstDifference returns the first place where a and b are not the same, -1 when they are the same.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// walkBody walks one struct at the start of body and returns what follows it; tags is how many tagged fields may still come.
// Its time is linear in the body.
func walkBody(layout []element, body []byte, tags *int) (rest []byte, ok bool) {
	for i := range layout {
		if body, ok = layout[i].walk(body, tags); !ok {
			return nil, false
		}
	}
	return body, true
}

func (e *element) walk(body []byte, tags *int) ([]byte, bool) {
	switch {
	case e.fixedBytes > 0:
		return skip(body, uint64(e.fixedBytes))
	case e.compact:
		n, body, ok := uvarint32(body)
		if !ok || n == 0 {
			return body, ok
		}
		return skip(body, n-1)
	case e.array:
		return e.walkArray(body, tags)
	case e.nullable:
		if len(body) == 0 {
			return nil, false
		}
		if body[0] == 0xff { // -1 alone is null to kmsg: another reading here would look for tags elsewhere than it does
			return body[1:], true
		}
		return walkBody(e.fields, body[1:], tags)
	}
	return walkTags(body, tags)
}

func (e *element) walkArray(body []byte, tags *int) ([]byte, bool) {
	n, body, ok := uvarint32(body)
	if !ok || n == 0 {
		return body, ok
	}
	if n-1 > uint64(len(body)) {
		return nil, false
	}
	for range n - 1 {
		if body, ok = walkBody(e.fields, body, tags); !ok {
			return nil, false
		}
	}
	return body, true
}

func walkTags(body []byte, tags *int) ([]byte, bool) {
	n, body, ok := uvarint32(body)
	if !ok || n > uint64(len(body)/2) { // a tagged field takes two bytes at least
		return nil, false
	}
	if *tags -= int(n); *tags < 0 {
		return nil, false
	}
	for range n {
		var size uint64
		if _, body, ok = uvarint32(body); !ok {
			return nil, false
		}
		if size, body, ok = uvarint32(body); !ok {
			return nil, false
		}
		if body, ok = skip(body, size); !ok {
			return nil, false
		}
	}
	return body, true
}

func skip(body []byte, n uint64) ([]byte, bool) {
	if n > uint64(len(body)) {
		return nil, false
	}
	return body[n:], true
}

func uvarint32(body []byte) (uint64, []byte, bool) {
	n, size := binary.Uvarint(body)
	if size <= 0 || n > math.MaxUint32 {
		return 0, nil, false
	}
	return n, body[size:], true
}
