package api

import (
	"context"
	"errors"
	"testing"
)

// Ids of the block that was put by are handed out when there is no controller to ask.
func TestProducerIDsFromTheReserve(t *testing.T) {
	var p producerIDs
	nobody := func(context.Context) (int64, int, error) { return 0, 0, errors.New("there is no controller") }
	if _, err := p.next(t.Context(), nobody); err == nil {
		t.Fatal("an id out of nothing")
	}
	p.stock(5000, producerIDsLow+2)
	if short, _ := p.short(); short {
		t.Error("short with a block put by")
	}
	_, low := p.short()
	for i := range int64(producerIDsLow + 2) {
		id, err := p.next(t.Context(), nobody)
		if err != nil || id != 5000+i {
			t.Fatalf("id %d is %d: %v", i, id, err)
		}
		told := false
		select {
		case <-low:
			told = true
		default:
		}
		if short, _ := p.short(); told != (i >= 1) || short != told {
			t.Fatalf("after %d ids: told %v, short %v", i+1, told, short)
		}
	}
	if _, err := p.next(t.Context(), nobody); err == nil {
		t.Error("an id after the last")
	}
}
