package scenario

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// produce sends count records for every codec and acks; the caller of the driver checks what arrived, and how.
func produce(ctx context.Context, c Client, o *Options) error {
	for _, codec := range o.Codecs {
		for _, acks := range o.Acks {
			records := make([]Record, o.Count)
			for i := range records {
				records[i] = Record{Key: []byte(fmt.Sprint(i)), Value: fmt.Appendf(nil, "%s/%d/%d %s", codec, acks, i, strings.Repeat("payload ", 20))}
			}
			if err := c.Produce(ctx, Sending{Topic: o.Topic, Codec: codec, Acks: acks}, records); err != nil {
				return fmt.Errorf("produce with %s and acks %d: %w", codec, acks, err)
			}
		}
	}
	return nil
}

// fields sends records with every field set, empty and null, and reads them back.
func fields(ctx context.Context, c Client, o *Options) error {
	at := time.Now().Add(-time.Hour).UnixMilli()
	sent := []Record{
		{Key: []byte("key"), Value: []byte("value"), TimestampMillis: at, Headers: []Header{{"one", []byte("1")}, {"two", []byte{0, 255}}, {"one", []byte("again")}}},
		{Key: nil, Value: []byte("no key"), TimestampMillis: at + 1},
		{Key: []byte("no value"), Value: nil, TimestampMillis: at + 2},
		{Key: []byte("empty"), Value: []byte{}, TimestampMillis: at - 5000},
		{Key: []byte("ключ"), Value: bytes.Repeat([]byte("0123456789"), 90000), TimestampMillis: at + 4},
	}
	if err := c.Produce(ctx, Sending{Topic: o.Topic, Codec: "none", Acks: -1}, sent); err != nil {
		return err
	}
	got, err := c.Read(ctx, o.Topic, Start{At: "start"}, len(sent), func() error { return nil })
	if err != nil {
		return err
	}
	if limited, ok := c.(interface{ ReadsEmptyAsNull() bool }); ok && limited.ReadsEmptyAsNull() {
		sent[3].Value = nil // the referee sees what is in the log
	}
	for i := range sent {
		if err := same(sent[i], got[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
	}
	return nil
}

func same(sent, got Record) error {
	switch {
	case (sent.Key == nil) != (got.Key == nil) || !bytes.Equal(sent.Key, got.Key):
		return fmt.Errorf("key is %q", got.Key)
	case (sent.Value == nil) != (got.Value == nil) || !bytes.Equal(sent.Value, got.Value):
		return fmt.Errorf("value is %.40q, %d bytes", got.Value, len(got.Value))
	case sent.TimestampMillis != got.TimestampMillis:
		return fmt.Errorf("timestamp is %d, sent %d", got.TimestampMillis, sent.TimestampMillis)
	case len(sent.Headers) != len(got.Headers):
		return fmt.Errorf("%d headers, sent %d", len(got.Headers), len(sent.Headers))
	}
	for i, h := range sent.Headers {
		if h.Key != got.Headers[i].Key || !bytes.Equal(h.Value, got.Headers[i].Value) {
			return fmt.Errorf("header %d is %s=%q", i, got.Headers[i].Key, got.Headers[i].Value)
		}
	}
	return nil
}

// idempotence sends many records with idempotence on; the caller checks order, number and producer id.
func idempotence(ctx context.Context, c Client, o *Options) error {
	records := make([]Record, o.Count)
	for i := range records {
		records[i] = Record{Value: fmt.Appendf(nil, "idempotent/%d", i)}
	}
	return c.Produce(ctx, Sending{Topic: o.Topic, Codec: "none", Acks: -1, Idempotent: true}, records)
}

// readStart expects the records that the caller has put into the topic, in order: fill/0 to fill/count-1.
func readStart(ctx context.Context, c Client, o *Options) error {
	got, err := c.Read(ctx, o.Topic, Start{At: "start"}, o.Count, func() error { return nil })
	if err != nil {
		return err
	}
	return expectFill(got, 0)
}

// readTime expects to begin at the first record that is as new as the moment, which is in the middle.
func readTime(ctx context.Context, c Client, o *Options) error {
	got, err := c.Read(ctx, o.Topic, Start{At: "time", Millis: o.TimeMillis}, o.Count/2, func() error { return nil })
	if err != nil {
		return err
	}
	return expectFill(got, o.Count/2)
}

func expectFill(got []Record, first int) error {
	for i, r := range got {
		if want := fmt.Sprintf("fill/%d", first+i); string(r.Value) != want {
			return fmt.Errorf("record %d is %q, want %q", i, r.Value, want)
		}
	}
	return nil
}

// readEnd expects only what is produced after the position was fixed.
func readEnd(ctx context.Context, c Client, o *Options) error {
	const n = 5
	got, err := c.Read(ctx, o.Topic, Start{At: "end"}, n, func() error {
		records := make([]Record, n)
		for i := range records {
			records[i] = Record{Value: fmt.Appendf(nil, "after/%d", i)}
		}
		return c.Produce(ctx, Sending{Topic: o.Topic, Codec: "none", Acks: -1}, records)
	})
	if err != nil {
		return err
	}
	for i, r := range got {
		if want := fmt.Sprintf("after/%d", i); string(r.Value) != want {
			return fmt.Errorf("record %d is %q, want %q", i, r.Value, want)
		}
	}
	return nil
}
