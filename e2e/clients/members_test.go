//go:build e2e

package clients

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// ledger is what the members of a group have told of themselves, whatever programs they are in.
type ledger struct {
	mu          sync.Mutex
	seen        map[string]int      // value -> times
	uncommitted map[string]int      // value -> times that its commit was refused
	received    map[string]int      // member -> records
	assigned    map[string][]string // member -> partitions, of those who have some
	changes     map[string]int      // member -> how often that changed
	left        map[string]bool     // member
	failed      []string
}

func newLedger() *ledger {
	return &ledger{
		seen: map[string]int{}, uncommitted: map[string]int{}, received: map[string]int{},
		assigned: map[string][]string{}, changes: map[string]int{}, left: map[string]bool{},
	}
}

// hear takes down one line: WHAT MEMBER WORDS.
func (l *ledger) hear(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	word := strings.Fields(line)
	if len(word) < 2 {
		l.failed = append(l.failed, "a driver prints "+line)
		return
	}
	switch name, words := word[1], word[2:]; word[0] {
	case "seen":
		for _, value := range words {
			l.seen[value]++
		}
		l.received[name] += len(words)
	case "uncommitted":
		for _, value := range words {
			l.uncommitted[value]++
		}
	case "assigned":
		l.assigned[name] = words
		l.changes[name]++
	case "left":
		l.left[name] = true
		delete(l.assigned, name)
	default:
		l.failed = append(l.failed, line)
	}
}

// has is what a member was told last, sorted, and how often it was told something else.
func (l *ledger) has(name string) ([]string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(slices.Values(l.assigned[name])), l.changes[name]
}

func (l *ledger) receivedBy(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.received[name]
}

// await polls until something holds, a member fails, or the time is over; then the ledger is part of the error.
func (l *ledger) await(what string, holds func() bool) error {
	deadline := time.Now().Add(60 * time.Second)
	for !holds() {
		l.mu.Lock()
		err := fmt.Errorf("waited for: %s; the members have %v, failures %v", what, l.assigned, l.failed)
		broken := len(l.failed) > 0
		l.mu.Unlock()
		if broken || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// divided waits until the partitions of a topic are in the hands of these members, each of one, evenly.
func (l *ledger) divided(topic string, partitions int, names ...string) error {
	var want []string
	for p := range partitions {
		want = append(want, fmt.Sprintf("%s-%d", topic, p))
	}
	return l.await(fmt.Sprintf("%d partitions are divided among %v", partitions, names), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		var all []string
		for _, name := range names {
			if n := len(l.assigned[name]); n < partitions/len(names) {
				return false
			}
			all = append(all, l.assigned[name]...)
		}
		return slices.Equal(slices.Sorted(slices.Values(all)), slices.Sorted(slices.Values(want)))
	})
}

// sawAll waits until every value was seen.
func (l *ledger) sawAll(values ...string) error {
	return l.await(fmt.Sprintf("all %d records are seen", len(values)), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return !slices.ContainsFunc(values, func(value string) bool { return l.seen[value] == 0 })
	})
}

// onlyOnce expects each record once, and as often again as its commit was refused.
func (l *ledger) onlyOnce() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var again []string
	for value, times := range l.seen {
		if times > 1+l.uncommitted[value] {
			again = append(again, fmt.Sprintf("%s %d times", value, times))
		}
	}
	if len(again) > 0 || len(l.failed) > 0 {
		slices.Sort(again)
		return fmt.Errorf("records came again that were committed: %s; failures %v", shorten(strings.Join(again, ", ")), l.failed)
	}
	return nil
}

// company is a driver with members that come and go as it is told.
type company struct {
	ledger *ledger
	cmd    *exec.Cmd
	in     io.WriteCloser
	ended  chan error
	stderr strings.Builder // read after ended
}

// startCompany starts the driver's verb "members".
func startCompany(l *ledger, command ...string) (*company, error) {
	m := &company{ledger: l, cmd: exec.Command(command[0], command[1:]...), ended: make(chan error, 1)}
	m.cmd.Stderr = &m.stderr
	m.cmd.WaitDelay = time.Second
	var err error
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				break
			}
			l.hear(line)
		}
		m.ended <- m.cmd.Wait()
	}()
	return m, nil
}

// join begins a member: protocol is classic or consumer, instance "-" for a dynamic member, topics a topic or ^REGEX.
func (m *company) join(name, protocol, group, instance, topics string) error {
	_, err := fmt.Fprintf(m.in, "join %s %s %s %s %s\n", name, protocol, group, instance, topics)
	return err
}

// leave has a member leave and waits until it has.
func (m *company) leave(name string) error {
	if _, err := fmt.Fprintf(m.in, "leave %s\n", name); err != nil {
		return err
	}
	return m.ledger.await(name+" leaves", func() bool {
		m.ledger.mu.Lock()
		defer m.ledger.mu.Unlock()
		return m.ledger.left[name]
	})
}

// end lets everybody leave and waits for the driver's end.
func (m *company) end() error {
	_ = m.in.Close()
	select {
	case err := <-m.ended:
		if err != nil {
			return fmt.Errorf("the driver ends with %w: %s", err, shorten(m.stderr.String()))
		}
		return nil
	case <-time.After(60 * time.Second):
		_ = m.cmd.Process.Kill()
		return fmt.Errorf("the driver does not end: %w", <-m.ended)
	}
}
