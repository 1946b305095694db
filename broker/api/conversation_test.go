package api

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

var rewrite = flag.Bool("rewrite", false, "write what the conversations get as answers into their files")

// Each file is a conversation with a fresh broker: `set key=value` lines at its head are static settings, a line `Name
// version {request}` asks, and the line below it is the answer without the fields that have their default. The words of
// errors are those that Apache Kafka 4.3.1 was heard to use.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no conversations: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := converse(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
			for i := range min(len(gotLines), len(wantLines)) {
				if gotLines[i] != wantLines[i] {
					t.Errorf("line %d\n got %s\nwant %s", i+1, gotLines[i], wantLines[i])
				}
			}
			if len(gotLines) != len(wantLines) {
				t.Errorf("%d lines, want %d", len(gotLines), len(wantLines))
			}
		})
	}
}

// converse holds the conversation and returns it with the answers that it got.
func converse(t *testing.T, script string) string {
	var out strings.Builder
	static := map[string]string{}
	var s *Services
	lines := bufio.NewScanner(strings.NewReader(script))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		setting, isSetting := strings.CutPrefix(line, "set ")
		switch {
		case strings.HasPrefix(line, "  "):
			continue // an answer, to be given anew
		case isSetting:
			key, value, _ := strings.Cut(setting, "=")
			static[key] = value
		case line != "" && !strings.HasPrefix(line, "#"):
			if s == nil {
				s = testServices(t, static)
			}
			fmt.Fprintf(&out, "%s\n  %s\n", line, ask(t, s, line))
			continue
		}
		fmt.Fprintln(&out, line)
	}
	return out.String()
}

// ask sends one request through its row, encoded and decoded as on the wire.
func ask(t *testing.T, s *Services, line string) string {
	t.Helper()
	var name string
	var version int16
	if _, err := fmt.Sscan(line, &name, &version); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	row := rowNamed(t, name)
	request := row.newRequest()
	kmsgDefault(request)
	if at := strings.Index(line, "{"); at >= 0 {
		if err := json.Unmarshal([]byte(line[at:]), request); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	answer, err := roundTrip(s, callFrom(t.Context(), "127.0.0.1:19092"), row, request, version)
	if err != nil {
		return err.Error()
	}
	return render(t, answer)
}

func rowNamed(t *testing.T, name string) *Row {
	t.Helper()
	rows := Table()
	i := slices.IndexFunc(rows, func(r Row) bool { return strings.EqualFold(kmsg.NameForKey(r.Key), name) })
	if i < 0 {
		t.Fatalf("the table has no %s", name)
	}
	return &rows[i]
}

func kmsgDefault(v any) {
	if d, ok := v.(interface{ Default() }); ok {
		d.Default()
	}
}

// roundTrip encodes the request, lets the row's handler decode and answer it, and decodes the answer.
func roundTrip(s *Services, c *Call, row *Row, request kmsg.Request, version int16) (kmsg.Response, error) {
	if s.rows == nil {
		s.rows = Table()
	}
	request.SetVersion(version)
	body := request.AppendTo(nil)
	decoded := row.newRequest()
	decoded.SetVersion(version)
	if err := decoded.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decode request: %w", err)
	}
	c.Version = version
	answer := row.handle(s, c, decoded)
	if answer == nil {
		return nil, fmt.Errorf("the connection is closed")
	}
	answer.SetVersion(version)
	encoded := answer.AppendTo(nil)
	read := request.ResponseKind()
	read.SetVersion(version)
	if err := read.ReadFrom(encoded); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	if again := read.AppendTo(nil); !slices.Equal(again, encoded) {
		return nil, fmt.Errorf("the answer is %d bytes, of which %d were read", len(encoded), len(again))
	}
	return read, nil
}

// render shows an answer without fields at their default; ids that are made at random are ID.
func render(t *testing.T, answer kmsg.Response) string {
	t.Helper()
	shown, err := json.Marshal(trim(reflect.ValueOf(answer).Elem()))
	if err != nil {
		t.Fatal(err)
	}
	return string(shown)
}

func trim(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return trim(v.Elem())
	case reflect.Slice:
		if v.IsNil() {
			return nil
		}
		all := make([]any, v.Len())
		for i := range v.Len() {
			all[i] = trim(v.Index(i))
		}
		return all
	case reflect.Array:
		return "ID"
	case reflect.Struct:
		return trimStruct(v)
	}
	return v.Interface()
}

func trimStruct(v reflect.Value) any {
	fresh := reflect.New(v.Type())
	kmsgDefault(fresh.Interface())
	fields := map[string]any{}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Name == "Version" || field.Name == "UnknownTags" || reflect.DeepEqual(v.Field(i).Interface(), fresh.Elem().Field(i).Interface()) {
			continue
		}
		fields[field.Name] = trim(v.Field(i))
	}
	return fields
}

// A topic whose creation takes its time is one to ask for again; then it is there.
func TestTopicInCreationIsToBeAskedForAgain(t *testing.T) {
	s := testServices(t, nil)
	hold := make(chan struct{})
	one := s.topics.start(topicName{security.DefaultTenant, "slow"}, func(ctx context.Context, topic topicName) error {
		<-hold
		return s.createOne(ctx, topic)
	})
	row := rowNamed(t, "Metadata")
	wanted := func() kmsg.MetadataResponseTopic {
		request := kmsg.NewPtrMetadataRequest()
		request.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("slow")}}
		request.AllowAutoTopicCreation = true
		answer, err := roundTrip(s, callFrom(t.Context(), "127.0.0.1:9092"), row, request, 9)
		if err != nil {
			t.Fatal(err)
		}
		return answer.(*kmsg.MetadataResponse).Topics[0]
	}
	if got := wanted(); got.ErrorCode != kerr.LeaderNotAvailable.Code {
		t.Errorf("in creation: error %d, want LEADER_NOT_AVAILABLE", got.ErrorCode)
	}
	close(hold)
	<-one.done
	if got := wanted(); got.ErrorCode != 0 || len(got.Partitions) != 1 || got.Partitions[0].Leader != 1 {
		t.Errorf("created: error %d, partitions %v", got.ErrorCode, got.Partitions)
	}
}

// A topic named by its name and by its id in one request is refused once, and stays.
func TestDeleteByNameAndByID(t *testing.T) {
	s := testServices(t, nil)
	c := callFrom(t.Context(), "127.0.0.1:9092")
	ask(t, s, `CreateTopics 7 {"Topics":[{"Topic":"a","NumPartitions":1,"ReplicationFactor":1},{"Topic":"b","NumPartitions":1,"ReplicationFactor":1}]}`)
	a, b := s.Metadata.Image().Topic(security.DefaultTenant, "a"), s.Metadata.Image().Topic(security.DefaultTenant, "b")
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.Topics = []kmsg.DeleteTopicsRequestTopic{{TopicID: a.ID}, {TopicID: b.ID}, {Topic: &a.Name}}
	answer, err := roundTrip(s, c, rowNamed(t, "DeleteTopics"), request, 6)
	if err != nil {
		t.Fatal(err)
	}
	topics := answer.(*kmsg.DeleteTopicsResponse).Topics
	if len(topics) != 2 || topics[0].ErrorCode != kerr.InvalidRequest.Code || topics[0].TopicID != a.ID || topics[1].ErrorCode != 0 {
		t.Errorf("answers %+v", topics)
	}
	if i := s.Metadata.Image(); i.TopicByID(a.ID) == nil || i.TopicByID(b.ID) != nil {
		t.Error("a is gone or b is still there")
	}
}

// A small request cannot make a huge answer.
func TestDescribedSettingsAreBounded(t *testing.T) {
	s := testServices(t, nil)
	request := kmsg.NewPtrDescribeConfigsRequest()
	for range 100 {
		request.Resources = append(request.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "1"})
	}
	answer := describeUpTo(1000, s, callFrom(t.Context(), "127.0.0.1:9092"), request)
	settings, refused := 0, 0
	for _, resource := range answer.Resources {
		settings += len(resource.Configs)
		if resource.ErrorCode == kerr.InvalidRequest.Code {
			refused++
		}
	}
	one := len(answer.Resources[0].Configs)
	if settings <= 1000 || settings > 1000+one || refused != 100-settings/one {
		t.Errorf("%d settings of %d a broker, %d of 100 resources refused", settings, one, refused)
	}
}
