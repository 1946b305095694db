package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceOptions are the flags of produce.
type produceOptions struct {
	input         string
	recordFormat  string
	key           string
	hasKey        bool
	headers       []string
	partition     int32
	keepPartition bool
	acks          string
	compression   string
	tombstone     bool
	rate          int
	timeout       time.Duration
	autoCreate    bool
	maxBytes      int32
	report        string // --format when it was given: one result per record
}

func newProduceCommand(s *session) *cobra.Command {
	var o produceOptions
	cmd := &cobra.Command{
		Use:   "produce [TOPIC]",
		Short: "Write records",
		Long: `Write records that are read from standard input: one record per line, JSON, a record format, or the whole input as one
record. TOPIC can be left out when the input names the topic of each record.
Standard output stays empty, unless --format asks for one result per record.

JSON input is what consume writes. null is null, "" is empty; key_base64 and value_base64 take bytes that are not UTF-8;
a value that is an object, array, number or boolean is sent as its JSON text. offset is ignored, partition too unless
--keep-partition is given.

` + recordFormatHelp,
		Example: `  echo hello | millrace produce orders
  echo 'k1:v1' | millrace produce orders -f '%k:%v\n'
  millrace produce orders --input raw --key photo < photo.jpg
  echo '{"key":"a","value":{"n":1},"headers":[{"key":"h","value":"x"}]}' | millrace produce orders --input json
  millrace consume orders --exit | millrace produce copy --input json
  seq 1000 | millrace produce orders --rate 100 --compression zstd`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeFirst(s.completeTopics()),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.hasKey = cmd.Flags().Changed("key")
			o.report = s.formatFlag
			topic := ""
			if len(args) > 0 {
				topic = args[0]
			}
			return s.produce(cmd, &o, topic)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.input, "input", "lines", "what the input is: lines, json, raw")
	f.StringVarP(&o.recordFormat, "record-format", "f", "", "format of a record in the input, see above")
	f.StringVarP(&o.key, "key", "k", "", "key of every record that has none")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "header for every record as key=value, repeatable")
	f.Int32VarP(&o.partition, "partition", "p", noPartition, "partition for every record (default: by key, else spread)")
	f.BoolVar(&o.keepPartition, "keep-partition", false, "use the partition that the input names")
	f.StringVar(&o.acks, "acks", "all", "who must have the record: all (in-sync replicas), 1 (leader), 0 (nobody is asked)")
	f.StringVarP(&o.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.BoolVarP(&o.tombstone, "tombstone", "Z", false, "an empty value is sent as null, which deletes the key in a compacted topic")
	f.IntVar(&o.rate, "rate", 0, "records per second at most (default: as fast as it goes)")
	f.DurationVar(&o.timeout, "timeout", 30*time.Second, "give up when no acknowledgement comes for this long")
	f.BoolVar(&o.autoCreate, "create", false, "create the topic when it does not exist, if the cluster allows that")
	f.Int32Var(&o.maxBytes, "max-message-bytes", 1_000_012, "largest batch to send")
	must(cmd.RegisterFlagCompletionFunc("input", cobra.FixedCompletions([]string{"lines", "json", "raw"}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"none", "gzip", "snappy", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp)))
	return cmd
}

func (s *session) produce(cmd *cobra.Command, o *produceOptions, topic string) error {
	opts, err := o.clientOptions()
	if err != nil {
		return err
	}
	source, err := o.source(cmd.InOrStdin())
	if err != nil {
		return err
	}
	if _, err := s.resolve(); err != nil {
		return err
	}
	client, err := s.connect(cmd.Context(), append(opts, kgo.WithHooks(newOutageNotes(cmd)))...)
	if err != nil {
		return err
	}
	if topic != "" && !o.autoCreate {
		ctx, cancel := s.deadline(cmd)
		_, err := oneTopic(ctx, kadm.NewClient(client), topic)
		cancel()
		if err != nil {
			return err
		}
	}
	if isTerminal(cmd.InOrStdin()) && isTerminal(cmd.ErrOrStderr()) {
		note(cmd, "reading records from the terminal (%s), Ctrl-D to end", o.input)
	}
	p := &producing{session: s, cmd: cmd, options: o, client: client, topic: topic, progress: startProgress(cmd, "produced")}
	err = p.run(cmd.Context(), source)
	return p.finish(err)
}

func (o *produceOptions) clientOptions() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.ProducerBatchMaxBytes(o.maxBytes), kgo.UnknownTopicRetries(1), kgo.AllowIdempotentProduceCancellation()}
	switch o.acks {
	case "all", "-1":
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usagef("--acks %s: want all, 1 or 0", o.acks)
	}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[o.compression]
	if !ok {
		return nil, usagef("--compression %s: want none, gzip, snappy, lz4 or zstd", o.compression)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	if o.partition < noPartition {
		return nil, usagef("--partition cannot be negative")
	}
	if o.partition != noPartition || o.keepPartition {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	if o.autoCreate {
		opts = append(opts, kgo.AllowAutoTopicCreation())
	}
	if o.rate < 0 || o.timeout <= 0 {
		return nil, usagef("--rate cannot be negative, --timeout must be above 0")
	}
	return opts, nil
}

// shownFailures is how many failed records are told one by one.
const shownFailures = 5

// producing is one run of produce.
type producing struct {
	session  *session
	cmd      *cobra.Command
	options  *produceOptions
	client   *kgo.Client
	topic    string
	progress *progress

	mu       sync.Mutex // guards what follows: acknowledgements come on the client's goroutine
	waiting  int        // sent, neither acknowledged nor failed
	lastMove time.Time  // of the last acknowledgement, or of the first record that waits
	produced int
	failed   int
	failures itemErrors
	writeErr error
}

type producedRecord struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"`
}

func (p *producing) run(ctx context.Context, source recordSource) error {
	headers, err := parsePairs("--header", p.options.headers)
	if err != nil {
		return err
	}
	pace := newPace(p.options.rate)
	defer pace.stop()
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	go p.watch(ctx, giveUp)
	var readErr error
	for n := 1; ; n++ {
		if err := pace.wait(ctx); err != nil {
			break
		}
		r, err := source.next()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				readErr = &failure{code: exitFailed, message: fmt.Sprintf("input, record %d: %v", n, err)}
			}
			break
		}
		if err := p.prepare(r, headers); err != nil {
			readErr = &failure{code: exitFailed, message: fmt.Sprintf("input, record %d: %v", n, err)}
			break
		}
		number := n
		p.sending()
		p.client.Produce(ctx, r, func(r *kgo.Record, err error) { p.acknowledged(number, r, err) })
	}
	flushErr := p.client.Flush(ctx)
	if cause := context.Cause(ctx); errors.Is(cause, errStalled) {
		return &failure{code: exitFailed, cause: context.DeadlineExceeded, message: fmt.Sprintf("no acknowledgement for %s (--timeout); what was on its way may have been written%s\nLook closer: millrace doctor", p.options.timeout, p.stallReason())}
	}
	if flushErr != nil {
		return interrupted(fmt.Sprintf("%s acknowledged, what was on its way may have been written, too", plural(p.count(), "record")))
	}
	return readErr
}

// stallReason is what is wrong with the topic's partitions, a line for each: the client tries again in silence where a broker
// refuses for want of replicas.
func (p *producing) stallReason() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.cmd.Context()), quorumPatience)
	defer cancel()
	admin := kadm.NewClient(p.client)
	meta, err := admin.Metadata(ctx, p.topic)
	if err != nil {
		return ""
	}
	checks := partitionChecks(meta, nil)
	if c, short := minISRCheck(ctx, admin, meta); short {
		checks = append(checks, c)
	}
	reason := ""
	for _, c := range checks {
		if c.Status == checkFail {
			reason += fmt.Sprintf("\n%s: %s (%s)", c.Name, c.Detail, c.Why)
		}
	}
	return reason
}

// errStalled is why everything was cancelled when the cluster stopped to acknowledge.
var errStalled = errors.New("stalled")

// watch cancels when records wait and nothing is acknowledged for the timeout. The client's own delivery timeout counts
// from a record's timestamp, which here may be years old.
func (p *producing) watch(ctx context.Context, giveUp context.CancelCauseFunc) {
	tick := time.NewTicker(max(p.options.timeout/10, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		stalled := p.waiting > 0 && time.Since(p.lastMove) > p.options.timeout
		p.mu.Unlock()
		if stalled {
			giveUp(errStalled)
			return
		}
	}
}

// sending notes a record that now waits for its acknowledgement.
func (p *producing) sending() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == 0 {
		p.lastMove = time.Now()
	}
	p.waiting++
}

func (p *producing) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.produced
}

// prepare fills in what the flags say.
func (p *producing) prepare(r *kgo.Record, headers [][2]string) error {
	o := p.options
	if p.topic != "" {
		r.Topic = p.topic
	}
	if r.Topic == "" {
		return errors.New("it names no topic, and none was given: millrace produce TOPIC")
	}
	if o.hasKey && r.Key == nil {
		r.Key = []byte(o.key)
	}
	if o.tombstone && len(r.Value) == 0 {
		r.Value = nil
	}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h[0], Value: []byte(h[1])})
	}
	if o.partition != noPartition {
		r.Partition = o.partition
	} else if o.keepPartition && r.Partition == noPartition {
		return errors.New("it names no partition, which --keep-partition needs")
	}
	return nil
}

func (p *producing) acknowledged(number int, r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
	p.lastMove = time.Now()
	if errors.Is(err, context.Canceled) {
		return // told once, by run
	}
	if err != nil {
		p.failed++
		if len(p.failures.errs) < shownFailures {
			p.failures.add(fmt.Sprintf("record %d to %s", number, r.Topic), err)
		}
		return
	}
	p.produced++
	p.progress.add(1, len(r.Key)+len(r.Value))
	if p.options.report != "" && p.writeErr == nil {
		p.writeErr = p.reportRecord(r)
	}
}

func (p *producing) reportRecord(r *kgo.Record) error {
	result := producedRecord{r.Topic, r.Partition, r.Offset, r.Timestamp.UnixMilli()}
	switch p.options.report {
	case "yaml":
		return writeYAML(p.cmd.OutOrStdout(), []producedRecord{result})
	case "table", "wide":
		_, err := fmt.Fprintf(p.cmd.OutOrStdout(), "%s\t%d\t%d\n", printable(r.Topic), r.Partition, r.Offset)
		return err
	}
	return writeJSON(p.cmd.OutOrStdout(), result, "")
}

// finish says what was done and which error counts.
func (p *producing) finish(err error) error {
	p.progress.done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if isTerminal(p.cmd.ErrOrStderr()) {
		note(p.cmd, "produced %s", plural(p.produced, "record"))
	}
	if p.failed > 0 {
		if rest := p.failed - len(p.failures.errs); rest > 0 {
			p.failures.errs = append(p.failures.errs, &failure{code: exitCode(p.failures.errs[0]), message: fmt.Sprintf("and %s more; %d acknowledged", plural(rest, "record"), p.produced)})
		}
		if err != nil {
			p.failures.errs = append(p.failures.errs, err)
		}
		return p.failures.err()
	}
	return firstError(err, p.writeErr)
}

// pace lets records through at a rate.
type pace struct {
	interval time.Duration
	next     time.Time
	timer    *time.Timer
}

func newPace(perSecond int) *pace {
	p := &pace{next: time.Now(), timer: time.NewTimer(0)}
	if perSecond > 0 {
		p.interval = time.Second / time.Duration(perSecond)
	}
	return p
}

func (p *pace) wait(ctx context.Context) error {
	if p.interval > 0 {
		p.timer.Reset(time.Until(p.next))
		p.next = p.next.Add(p.interval)
		select {
		case <-p.timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

func (p *pace) stop() { p.timer.Stop() }
