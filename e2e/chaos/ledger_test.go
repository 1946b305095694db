package chaos

import (
	"slices"
	"testing"
)

// Each history plants one broken promise; the checker must name it and nothing else.
func TestCheckNamesThePlantedAnomaly(t *testing.T) {
	type ack struct {
		v      Value
		offset int64
	}
	a, b, c := Value{1, 1}, Value{1, 2}, Value{2, 1}
	for _, tc := range []struct {
		name  string
		sent  []Value
		acked []ack
		reads []Read
		want  []string
	}{
		{"nothing wrong", []Value{a, b, c}, []ack{{a, 0}, {b, 1}}, []Read{{0, 0, a}, {0, 1, b}, {0, 2, c}}, nil},
		{"unacknowledged may be missing", []Value{a, b}, []ack{{a, 0}}, []Read{{0, 0, a}}, nil},
		{"read twice at one place", []Value{a}, []ack{{a, 0}}, []Read{{0, 0, a}, {0, 0, a}}, nil},
		{"lost", []Value{a, b}, []ack{{a, 0}, {b, 1}}, []Read{{0, 0, a}}, []string{"lost"}},
		{"duplicate", []Value{a, b}, []ack{{a, 0}, {b, 1}}, []Read{{0, 0, a}, {0, 1, b}, {0, 2, b}}, []string{"duplicate"}},
		{"inconsistent offset", []Value{a, b}, []ack{{a, 0}}, []Read{{0, 0, a}, {0, 0, b}}, []string{"inconsistent-offset"}},
		{"moved", []Value{a}, []ack{{a, 0}}, []Read{{0, 4, a}}, []string{"moved"}},
		{"out of order", []Value{a, b}, nil, []Read{{0, 0, b}, {0, 1, a}}, []string{"out-of-order"}},
		{"another producer in between is no disorder", []Value{a, b, c}, nil, []Read{{0, 0, a}, {0, 1, c}, {0, 2, b}}, nil},
		{"phantom", []Value{a}, nil, []Read{{0, 0, a}, {0, 1, c}}, []string{"phantom"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := NewLedger()
			for _, v := range tc.sent {
				l.Sent(v)
			}
			for _, x := range tc.acked {
				l.Acknowledged(x.v, 0, x.offset)
			}
			var got []string
			for _, anomaly := range l.Check(tc.reads) {
				got = append(got, anomaly.Name)
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("found %v, planted %v", got, tc.want)
			}
		})
	}
}

func TestValueRoundTrip(t *testing.T) {
	v := Value{Producer: 3, Sequence: 41}
	if got, err := ParseValue(v.String()); err != nil || got != v {
		t.Errorf("read back %v, %v", got, err)
	}
	if _, err := ParseValue("hello"); err == nil {
		t.Error("a foreign value was read as one of ours")
	}
}
