package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

// isTerminal tells whether a person sits at the stream.
func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// confirm asks before something is destroyed. Without a terminal nobody can answer: --yes is needed.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	if !isTerminal(cmd.InOrStdin()) {
		return usagef("%s\nNobody can answer here: add --yes to do it, or --dry-run to see what would be done", question)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return &failure{code: exitFailed, message: "nothing was changed"}
}

// progress shows on a terminal how far something long has come; elsewhere it is silent.
type progress struct {
	count, sizeBytes atomic.Int64
	stop             chan struct{}
	stopped          chan struct{}
}

func startProgress(cmd *cobra.Command, verb string) *progress {
	p := &progress{stop: make(chan struct{}), stopped: make(chan struct{})}
	w := cmd.ErrOrStderr()
	if !isTerminal(w) || isTerminal(cmd.InOrStdin()) && verb == "produced" {
		close(p.stopped)
		return p
	}
	go p.show(w, verb)
	return p
}

func (p *progress) add(records, sizeBytes int) {
	p.count.Add(int64(records))
	p.sizeBytes.Add(int64(sizeBytes))
}

func (p *progress) show(w io.Writer, verb string) {
	defer close(p.stopped)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	start := time.Now()
	for {
		select {
		case <-p.stop:
			fmt.Fprint(w, "\r\x1b[K")
			return
		case <-tick.C:
			seconds := time.Since(start).Seconds()
			fmt.Fprintf(w, "\r\x1b[K%d records %s, %s, %.0f records/s", p.count.Load(), verb, byteSize(p.sizeBytes.Load()), float64(p.count.Load())/seconds)
		}
	}
}

// done removes the line.
func (p *progress) done() {
	close(p.stop)
	<-p.stopped
}

// byteSize is for people: 1.5 MiB.
func byteSize(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 1024 && unit < 5 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, " KMGTP"[unit])
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
