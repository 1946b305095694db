package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeOptions are the flags of consume.
type consumeOptions struct {
	offset       string
	partitions   []int32
	group        string
	count        int
	tail         int
	exit         bool
	timeout      time.Duration
	recordFormat string
	metaOnly     bool
	committed    bool
	rack         string
	format       string // --format when it was given, else empty
}

func newConsumeCommand(s *session) *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Read records",
		Long: `Read records and write them to standard output: as JSON, one line per record (indented on a terminal), or in the
format of -f. The JSON goes back in with 'millrace produce --input json' as it came out.
Without --exit, --tail, -n or an end in --offset it waits for new records until Ctrl-C.

` + offsetHelp + "\n\n" + recordFormatHelp,
		Example: `  millrace consume orders                              # from the start, then wait for more
  millrace consume orders --offset end                 # only what is new
  millrace consume orders --tail 5
  millrace consume orders --offset @-1h:end -f '%p %o %k %v\n'
  millrace consume orders --offset 100:200 --partitions 0
  millrace consume orders --group billing -n 10        # as a member of a group, commits what it printed
  millrace consume orders --exit | millrace produce orders-copy --input json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: s.completeTopics(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.format = s.formatFlag
			r, err := o.plan(cmd)
			if err != nil {
				return err
			}
			if o.group != "" {
				return s.consumeAsGroup(cmd, &o, args, r)
			}
			return s.consume(cmd, &o, args, r)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&o.offset, "offset", "o", "start", "where to start and to stop, see above")
	f.Int32SliceVarP(&o.partitions, "partitions", "p", nil, "only these partitions")
	f.StringVarP(&o.group, "group", "g", "", "consume as a member of this group; --offset counts where the group has no commit")
	f.IntVarP(&o.count, "num", "n", 0, "stop after this many records")
	f.IntVar(&o.tail, "tail", 0, "the newest N records over all partitions, oldest first, then stop")
	f.BoolVarP(&o.exit, "exit", "e", false, "stop at what is the end now")
	f.DurationVar(&o.timeout, "timeout", 0, "stop when no record came for this long")
	f.StringVarP(&o.recordFormat, "record-format", "f", "", "format of a record, see above")
	f.BoolVar(&o.metaOnly, "meta-only", false, "sizes instead of keys, values and headers")
	f.BoolVar(&o.committed, "read-committed", false, "leave out records of transactions that are open or aborted")
	f.StringVar(&o.rack, "rack", "", "rack of this client: read from a replica near by")
	must(cmd.RegisterFlagCompletionFunc("group", s.completeGroups()))
	return cmd
}

// plan checks the flags against each other and returns what to read.
func (o *consumeOptions) plan(cmd *cobra.Command) (offsetRange, error) {
	if o.count < 0 || o.tail < 0 || o.timeout < 0 {
		return offsetRange{}, usagef("--num, --tail and --timeout cannot be negative")
	}
	if o.format == "table" || o.format == "wide" {
		return offsetRange{}, usagef("records have no table: use -f '%%p %%o %%k %%v\\n', or --format json, jsonl or yaml")
	}
	if o.recordFormat != "" && (o.format != "" || o.metaOnly) {
		return offsetRange{}, usagef("--record-format cannot be combined with --format or --meta-only")
	}
	if o.tail > 0 {
		if cmd.Flags().Changed("offset") || o.group != "" || o.count > 0 {
			return offsetRange{}, usagef("--tail cannot be combined with --offset, --group or --num")
		}
		return offsetRange{start: offsetPoint{offsetBeforeEnd, int64(o.tail)}, end: offsetPoint{kind: offsetEnd}}, nil
	}
	r, err := parseOffsets(o.offset, time.Now())
	if err != nil {
		return r, usagef("--%v", err)
	}
	if o.exit && r.end.kind == offsetNone {
		r.end = offsetPoint{kind: offsetEnd}
	}
	if o.group != "" && len(o.partitions) > 0 {
		return r, usagef("--partitions cannot be combined with --group: the group assigns partitions")
	}
	if o.group != "" && r.end.kind != offsetNone && !o.exit {
		return r, usagef("--offset %s has an end; with --group use --exit, -n or --timeout to stop", o.offset)
	}
	return r, nil
}

func (o *consumeOptions) clientOptions() []kgo.Opt {
	opts := []kgo.Opt{kgo.KeepControlRecords(), kgo.FetchMaxWait(500 * time.Millisecond), kgo.Rack(o.rack)}
	if o.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	return opts
}

func (s *session) consume(cmd *cobra.Command, o *consumeOptions, topics []string, r offsetRange) error {
	out, err := newRecordWriter(cmd.OutOrStdout(), o.recordFormat, o.format, o.metaOnly, isTerminal(cmd.OutOrStdout()))
	if err != nil {
		return err
	}
	client, err := s.connect(cmd.Context(), append(o.clientOptions(), kgo.WithHooks(newOutageNotes(cmd)))...)
	if err != nil {
		return err
	}
	windows, err := s.consumeWindows(cmd, client, o, topics, r)
	if err != nil {
		return err
	}
	printer := newPrinter(out, o)
	reader := &scan{client: client, handle: printer.record, flush: out.out.Flush, idle: o.timeout, warn: func(format string, args ...any) { note(cmd, format, args...) }}
	if r.end.kind == offsetNone {
		waitingNote(cmd)
	}
	err = reader.run(cmd.Context(), windows)
	if flushErr := printer.flushTail(); err == nil {
		err = flushErr
	}
	return o.finish(cmd, err, printer.seen)
}

func waitingNote(cmd *cobra.Command) {
	if isTerminal(cmd.ErrOrStderr()) {
		note(cmd, "waiting for new records, Ctrl-C to stop")
	}
}

// consumeWindows finds the topics and resolves the range; an offset outside the log is told.
func (s *session) consumeWindows(cmd *cobra.Command, client *kgo.Client, o *consumeOptions, topics []string, r offsetRange) ([]window, error) {
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	admin := kadm.NewClient(client)
	wanted := map[string][]int32{}
	for _, name := range topics {
		topic, err := oneTopic(ctx, admin, name)
		if err != nil {
			return nil, err
		}
		if wanted[name], err = selectPartitions(topic, o.partitions); err != nil {
			return nil, err
		}
	}
	windows, err := planWindows(ctx, client, wanted, r, o.committed)
	if err != nil {
		return nil, err
	}
	for _, w := range windows {
		if w.startClamped {
			note(cmd, "%s partition %d: %s, starting at %d", w.topic, w.partition, w.contents(), w.from)
		}
	}
	return windows, nil
}

// finish turns the way a scan ended into the command's result, and says why it stopped.
func (o *consumeOptions) finish(cmd *cobra.Command, err error, seen int) error {
	switch {
	case errors.Is(err, errIdle):
		note(cmd, "stopped: no record for %s (--timeout)", o.timeout)
		if o.count > 0 {
			return &failure{code: exitFailed, message: fmt.Sprintf("%s of the %d that -n asked for", plural(seen, "record"), o.count)}
		}
		return nil
	case errors.Is(err, errStop):
		return nil
	}
	return err
}

// printer writes records until there are enough; with --tail it keeps the newest first.
type printer struct {
	out   *recordWriter
	count int
	tail  int
	seen  int
	kept  []*kgo.Record
}

func newPrinter(out *recordWriter, o *consumeOptions) *printer {
	return &printer{out: out, count: o.count, tail: o.tail}
}

func (p *printer) record(r *kgo.Record) error {
	if p.tail > 0 {
		p.kept = append(p.kept, r)
		return nil
	}
	if err := p.out.write(r); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	p.seen++
	if p.count > 0 && p.seen >= p.count {
		return errStop
	}
	return nil
}

// flushTail prints the newest records of all partitions in the order of their time.
func (p *printer) flushTail() error {
	slices.SortStableFunc(p.kept, func(a, b *kgo.Record) int {
		return cmp.Or(a.Timestamp.Compare(b.Timestamp), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	for _, r := range p.kept[max(0, len(p.kept)-p.tail):] {
		if err := p.out.write(r); err != nil {
			return fmt.Errorf("write record: %w", err)
		}
		p.seen++
	}
	return p.out.out.Flush()
}

// consumeAsGroup joins the group. What was printed is committed, nothing else.
func (s *session) consumeAsGroup(cmd *cobra.Command, o *consumeOptions, topics []string, r offsetRange) error {
	out, err := newRecordWriter(cmd.OutOrStdout(), o.recordFormat, o.format, o.metaOnly, isTerminal(cmd.OutOrStdout()))
	if err != nil {
		return err
	}
	opts := append(o.clientOptions(), kgo.ConsumerGroup(o.group), kgo.ConsumeTopics(topics...), kgo.ConsumeResetOffset(resetOffset(r.start)),
		kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(), kgo.WithHooks(newOutageNotes(cmd)))
	client, err := s.connect(cmd.Context(), opts...)
	if err != nil {
		return err
	}
	// BlockRebalanceOnPoll: no partition moves between a poll and its commit, so nobody prints what we printed.
	defer client.CloseAllowingRebalance()
	admin := kadm.NewClient(client)
	ctx, cancel := s.deadline(cmd)
	ends, err := topicEnds(ctx, admin, topics, o.committed)
	cancel()
	if err != nil {
		return err
	}
	if !o.exit {
		waitingNote(cmd)
		ends = nil
	}
	g := &groupScan{client: client, admin: admin, group: o.group, printer: newPrinter(out, o), ends: ends, idle: o.timeout, fromEnd: r.start.kind == offsetEnd}
	err = g.run(cmd.Context())
	commitCtx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), s.settings.timeout())
	defer cancel()
	if commitErr := client.CommitMarkedOffsets(commitCtx); commitErr != nil && err == nil {
		err = fmt.Errorf("commit offsets: %w", commitErr)
	}
	client.AllowRebalance()
	return o.finish(cmd, err, g.printer.seen)
}

func resetOffset(p offsetPoint) kgo.Offset {
	switch p.kind {
	case offsetEnd:
		return kgo.NewOffset().AtEnd()
	case offsetExact:
		return kgo.NewOffset().At(p.value)
	case offsetAfterStart:
		return kgo.NewOffset().AtStart().Relative(p.value)
	case offsetBeforeEnd:
		return kgo.NewOffset().AtEnd().Relative(-p.value)
	case offsetTime:
		return kgo.NewOffset().AfterMilli(p.value)
	}
	return kgo.NewOffset().AtStart()
}

// topicEnds lists the end offsets and makes sure that the topics exist.
func topicEnds(ctx context.Context, admin *kadm.Client, topics []string, stableOnly bool) (kadm.ListedOffsets, error) {
	for _, name := range topics {
		if _, err := oneTopic(ctx, admin, name); err != nil {
			return nil, err
		}
	}
	list := admin.ListEndOffsets
	if stableOnly {
		list = admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topics...)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	return ends, ends.Error()
}

// groupScan reads what the group assigns to this member.
type groupScan struct {
	client  *kgo.Client
	admin   *kadm.Client
	group   string
	printer *printer
	ends    kadm.ListedOffsets // where to stop; nil: never
	idle    time.Duration
	fromEnd bool
}

func (g *groupScan) run(ctx context.Context) error {
	lastRecord := time.Now()
	for {
		pollCtx, cancel := context.WithTimeout(ctx, time.Second)
		fetches := g.client.PollRecords(pollCtx, 1000)
		cancel()
		if ctx.Err() != nil {
			return errors.Join(errStop, g.printer.out.out.Flush())
		}
		if err := (&scan{warn: func(string, ...any) {}}).check(fetches); err != nil {
			return err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			lastRecord = time.Now()
			var err error
			if !r.Attrs.IsControl() {
				err = g.printer.record(r)
			}
			g.client.MarkCommitRecords(r)
			if err != nil {
				return errors.Join(err, g.printer.out.out.Flush())
			}
		}
		if err := g.printer.out.out.Flush(); err != nil {
			return err
		}
		if err := g.client.CommitMarkedOffsets(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("commit offsets: %w", err)
		}
		g.client.AllowRebalance()
		if g.idle > 0 && time.Since(lastRecord) >= g.idle {
			return errIdle
		}
		if g.ends != nil && fetches.Empty() {
			if done, err := g.atEnd(ctx); done || err != nil {
				return err
			}
		}
	}
}

// atEnd tells whether the group has committed everything up to the ends, whoever of its members did.
func (g *groupScan) atEnd(ctx context.Context) (bool, error) {
	described, err := g.admin.DescribeGroups(ctx, g.group)
	if err != nil {
		return false, fmt.Errorf("describe group: %w", err)
	}
	if described[g.group].State != "Stable" {
		return false, nil // not joined yet, or partitions are moving
	}
	commits, err := g.admin.FetchOffsets(ctx, g.group)
	if err != nil {
		return false, fmt.Errorf("fetch offsets of group %s: %w", g.group, err)
	}
	starts, err := g.admin.ListStartOffsets(ctx, slices.Collect(maps.Keys(g.ends))...)
	if err != nil {
		return false, fmt.Errorf("list start offsets: %w", err)
	}
	done := true
	g.ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(end.Topic, end.Partition)
		commit, ok := commits.Lookup(end.Topic, end.Partition)
		empty := start.Offset >= end.Offset || g.fromEnd && !ok
		if !empty && (!ok || commit.At < end.Offset) {
			done = false
		}
	})
	return done, nil
}
