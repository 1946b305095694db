package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// patience is how long a first answer may take before all addresses are asked at once: the client asks one after the other,
// and one that never answers (a paused node, an HTTP port) would cost it the whole timeout.
const patience = 2 * time.Second

// grace is how much longer than the first the other addresses may take before they count as silent.
const grace = 500 * time.Millisecond

// connect opens the client and makes sure that a broker answers; if none does, the error says why for each address.
func (s *session) connect(ctx context.Context, extra ...kgo.Opt) (*kgo.Client, error) {
	cfg, err := s.resolve()
	if err != nil {
		return nil, err
	}
	client, err := openClient(ctx, cfg, extra)
	if err != nil {
		return nil, err
	}
	if err = ping(ctx, client, min(patience, cfg.timeout())); isTimeout(err) && ctx.Err() == nil {
		client.Close()
		found := survey(ctx, cfg)
		if hopeless(found) {
			return nil, unreachable(ctx, cfg, err, found)
		}
		if silent := cfg.goOnWith(found); len(cfg.answering) > 0 && len(silent) > 0 {
			fmt.Fprintf(os.Stderr, "%s; going on with %s\n", strings.Join(silent, "; "), strings.Join(cfg.answering, ","))
		}
		if client, err = openClient(ctx, cfg, extra); err != nil {
			return nil, err
		}
		err = ping(ctx, client, cfg.timeout())
	}
	if err != nil {
		client.Close()
		return nil, unreachable(ctx, cfg, err, survey(ctx, cfg))
	}
	s.client = client
	return client, nil
}

func openClient(ctx context.Context, cfg *settings, extra []kgo.Opt) (*kgo.Client, error) {
	opts, err := clientOptions(ctx, cfg)
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(opts, extra...)...)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return client, nil
}

// ping closes a client that has no answer in time: only that ends what it began, a context does not.
func ping(ctx context.Context, client *kgo.Client, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- client.Ping(ctx) }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		client.Close()
		<-answered
		return ctx.Err()
	}
}

// goOnWith keeps to the addresses that answer, if any does, and returns what is wrong with the others: to wait for those again
// and again is what makes a command hang beside a healthy cluster.
func (s *settings) goOnWith(found []finding) (silent []string) {
	for _, f := range found {
		if f.ok() {
			s.answering = append(s.answering, f.address)
		} else {
			silent = append(silent, fmt.Sprintf("%s: %s", f.address, f.why))
		}
	}
	return silent
}

// survey probes all bootstrap addresses at once. Once one has answered the others get a moment more.
func survey(ctx context.Context, cfg *settings) []finding {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type answer struct {
		place int
		finding
	}
	addresses := cfg.brokers()
	found, answers := make([]finding, len(addresses)), make(chan answer)
	for i, address := range addresses {
		go func() { answers <- answer{i, probe(ctx, cfg, address)} }()
	}
	for range addresses { // every one of them, so that no goroutine is left
		a := <-answers
		if found[a.place] = a.finding; a.ok() {
			stop := time.AfterFunc(grace, func() { cancel(errLate) })
			defer stop.Stop()
		}
	}
	return found
}

// errLate ends probes that others have overtaken.
var errLate = errors.New("late")

// hopeless tells that no address can be expected to answer, however long one waits.
func hopeless(found []finding) bool {
	for _, f := range found {
		if f.ok() || f.why == whySilent {
			return false
		}
	}
	return true
}
