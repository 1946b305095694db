package api

import (
	"context"
	"reflect"
	runtimemetrics "runtime/metrics"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What may be taken whatever the size of a request, for what else goes on in the process.
const fuzzAllowanceBytes = 32 << 20

func allocatedBytes() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// FuzzEveryRow gives arbitrary bodies to the handlers that kmsg decodes for: none panics, none takes more memory than
// its row has estimated, every answer can be encoded.
func FuzzEveryRow(f *testing.F) {
	s := testServices(f, map[string]string{"auto.create.topics.enable": "false"})
	New(s) // fills in defaults
	rows := map[int16]Row{}
	guards := map[int16]*guard{}
	for _, row := range Table() {
		if row.handle == nil {
			continue // walked in place, with fuzz targets of its own
		}
		rows[row.Key], guards[row.Key] = row, newGuard(&row)
		for _, filled := range []bool{false, true} {
			request := kmsg.RequestForKey(row.Key)
			kmsgDefault(request)
			if filled {
				fill(reflect.ValueOf(request).Elem())
			}
			request.SetVersion(row.MaxVersion)
			f.Add(row.Key, row.MaxVersion, request.AppendTo(nil))
		}
	}
	huge := kmsg.NewPtrCreateTopicsRequest()
	huge.Topics = []kmsg.CreateTopicsRequestTopic{{Topic: "huge", NumPartitions: 1<<31 - 1, ReplicationFactor: 1}}
	huge.Version = 7
	f.Add(huge.Key(), huge.Version, huge.AppendTo(nil))

	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		row, known := rows[key]
		if !known || version < row.MinVersion || version > row.MaxVersion {
			return
		}
		if !guards[key].admits(version, body) {
			return // as a session does
		}
		request := row.newRequest()
		request.SetVersion(version)
		before := allocatedBytes()
		if err := request.ReadFrom(body); err != nil {
			return
		}
		switch r := request.(type) { // a topic of 10,000 partitions is lawful, a thousand of them no test of decoders
		case *kmsg.CreateTopicsRequest:
			r.ValidateOnly = true
		case *kmsg.CreatePartitionsRequest:
			r.ValidateOnly = true
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c := callFrom(ctx, "127.0.0.1:9092")
		c.Version = version
		if answer := row.handle(s, c, request); answer != nil {
			answer.SetVersion(version)
			answer.AppendTo(nil)
		}
		limit := uint64(fuzzAllowanceBytes + len(body)*row.BytesPerByte)
		if took := allocatedBytes() - before; took > limit {
			t.Errorf("%s %d: %d bytes for a body of %d, the limit is %d", kmsg.NameForKey(key), version, took, len(body), limit)
		}
	})
}
