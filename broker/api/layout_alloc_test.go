//go:build !race

package api

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestLayoutWalkDoesNotAllocate(t *testing.T) {
	eachFlexible(t, func(t *testing.T, row *Row, version int16, layout []element) {
		body := fillFull(row.newRequest(), version)
		if n := testing.AllocsPerRun(20, func() { walkRequest(layout, body) }); n != 0 {
			t.Errorf("%s v%d: %v allocations", kmsg.NameForKey(row.Key), version, n)
		}
	})
}
