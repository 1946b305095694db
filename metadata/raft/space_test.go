package raft

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"
)

// A log that refused entries is full until it takes some again, and for a while after the last refusal.
func TestSpaceOfTheLog(t *testing.T) {
	var s space
	now := time.Unix(1000, 0)
	refusal := fmt.Errorf("append: %w", syscall.ENOSPC)
	s.note(nil, now)
	s.note(errors.New("another error"), now)
	if s.isFull(now) {
		t.Fatal("full before anything was refused for want of space")
	}
	s.note(refusal, now)
	if !s.isFull(now.Add(time.Hour)) {
		t.Fatal("not full though nothing was stored since")
	}
	s.note(nil, now.Add(time.Hour))
	if s.isFull(now.Add(time.Hour)) {
		t.Fatal("full though entries were stored long after the refusal")
	}
	now = now.Add(2 * time.Hour)
	s.note(refusal, now)
	s.note(nil, now)
	if !s.isFull(now.Add(minSpaceHold-1)) || s.isFull(now.Add(minSpaceHold)) {
		t.Fatal("a refusal counts for a while, and not longer")
	}
	for want := 2 * minSpaceHold; want < maxSpaceHold; want *= 2 {
		now = now.Add(want)
		s.note(refusal, now)
		s.note(refusal, now)
		s.note(nil, now)
		if !s.isFull(now.Add(want-1)) || s.isFull(now.Add(want)) {
			t.Fatalf("full again, it does not count for %v", want)
		}
	}
	now = now.Add(maxSpaceHold)
	s.note(refusal, now)
	s.note(nil, now)
	if !s.isFull(now.Add(maxSpaceHold-1)) || s.isFull(now.Add(maxSpaceHold)) {
		t.Fatal("it counts for more or less than the most")
	}
	now = now.Add(maxSpaceHold + spaceCalm)
	s.note(refusal, now)
	s.note(nil, now)
	if !s.isFull(now.Add(minSpaceHold-1)) || s.isFull(now.Add(minSpaceHold)) {
		t.Fatal("after a calm what was before counts")
	}
}
