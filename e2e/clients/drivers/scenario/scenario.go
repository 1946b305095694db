// Package scenario holds the features of the client matrix once for every Go client: what a driver does with its client
// and what it expects of it. A driver implements Client and calls Main.
//
//	DRIVER FEATURE --bootstrap HOST:PORT --topic NAME [...]     exit 0: as expected; exit 1: the reason on standard error
//	DRIVER members|sharers HOST:PORT                            members that do what standard input says
package scenario

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

// Record is a record to produce, or one consumed.
type Record struct {
	Key, Value      []byte // nil is null
	Headers         []Header
	TimestampMillis int64 // 0 when producing: the client's clock
	Partition       int32 // the client sends to this partition
	Offset          int64
}

// Header is a record header.
type Header struct {
	Key   string
	Value []byte
}

// Sending is how records are produced.
type Sending struct {
	Topic      string
	Codec      string // none, gzip, snappy, lz4, zstd
	Acks       int    // 0, 1, -1
	Idempotent bool
}

// Start is where reading begins: "start", "end", or "time" with the moment.
type Start struct {
	At     string
	Millis int64
}

// Client is what a driver implements with the library it drives.
type Client interface {
	// Produce sends the records in order and returns once all are acknowledged (with acks 0: written to the socket).
	Produce(ctx context.Context, how Sending, records []Record) error
	// Read returns the next n records of partition 0. ready is called once the position is fixed.
	Read(ctx context.Context, topic string, from Start, n int, ready func() error) ([]Record, error)
	// Join makes a member of a group that starts at the beginning where there is no commit.
	Join(ctx context.Context, group, topic string) (Member, error)
	Admin() (Admin, error)
}

// Member is a group member.
type Member interface {
	Poll(ctx context.Context) ([]Record, error) // returns within about a second, also with nothing
	Commit(ctx context.Context) error           // everything polled so far
	Close() error                               // leaves the group
}

// Admin is the administrative half of a client. Functions that a library lacks return ErrLacks; the matrix says so too.
type Admin interface {
	CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error
	DeleteTopic(ctx context.Context, topic string) error
	AddPartitions(ctx context.Context, topic string, total int) error
	Partitions(ctx context.Context) (map[string]int, error) // of every topic
	Config(ctx context.Context, topic, key string) (string, error)
	SetConfig(ctx context.Context, topic, key, value string) error
	Groups(ctx context.Context) ([]string, error)
	GroupState(ctx context.Context, group string) (string, error)
	Committed(ctx context.Context, group, topic string) (int64, error) // of partition 0
	DeleteGroup(ctx context.Context, group string) error
	DeleteRecords(ctx context.Context, topic string, before int64) error // in partition 0
}

// ErrLacks is returned for what the library has no function for.
var ErrLacks = errors.New("the client lacks this")

// ErrAgain is returned by a member whose library has begun another session by itself, as it may when the coordinator moves:
// what was polled and not committed comes again.
var ErrAgain = errors.New("another session of the member has begun")

// Options are the arguments of a driver.
type Options struct {
	Bootstrap, Topic, Group string
	Codecs                  []string
	Acks                    []int
	Count                   int
	TimeMillis              int64
}

// Main runs the feature named by the arguments and ends the process.
func Main(open func(bootstrap string) Client) {
	if len(os.Args) < 2 {
		fail(errors.New("usage: DRIVER FEATURE --bootstrap HOST:PORT --topic NAME"))
	}
	if company, ok := companies()[os.Args[1]]; ok && len(os.Args) == 3 {
		if err := company(open(os.Args[2])); err != nil {
			fail(err)
		}
		return
	}
	o, err := parse(os.Args[2:])
	if err != nil {
		fail(err)
	}
	run, ok := features()[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no feature is named %q", os.Args[1]))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	if err := run(ctx, open(o.Bootstrap), o); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func parse(args []string) (*Options, error) {
	o := &Options{}
	flags := flag.NewFlagSet("driver", flag.ContinueOnError)
	flags.StringVar(&o.Bootstrap, "bootstrap", "", "broker")
	flags.StringVar(&o.Topic, "topic", "", "topic")
	flags.StringVar(&o.Group, "group", "", "group")
	codecs := flags.String("codecs", "none", "codecs, comma separated")
	acks := flags.String("acks", "-1", "acks, comma separated")
	flags.IntVar(&o.Count, "count", 0, "records")
	flags.Int64Var(&o.TimeMillis, "time", 0, "milliseconds")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	o.Codecs = strings.Split(*codecs, ",")
	for _, a := range strings.Split(*acks, ",") {
		var n int
		if _, err := fmt.Sscan(a, &n); err != nil {
			return nil, err
		}
		o.Acks = append(o.Acks, n)
	}
	return o, nil
}

type feature = func(context.Context, Client, *Options) error

func features() map[string]feature {
	return map[string]feature{
		"produce": produce, "fields": fields, "idempotence": idempotence,
		"start": readStart, "end": readEnd, "time": readTime,
		"group": group, "commits": commits, "transactions": transactions,
		"topics": topics, "configs": configs, "groups": groups, "records": deleteRecords,
	}
}

// companies are members that somebody else leads.
func companies() map[string]func(Client) error {
	return map[string]func(Client) error{"members": members, "sharers": sharers}
}
