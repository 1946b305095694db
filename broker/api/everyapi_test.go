package api

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// rawClient speaks the wire as it is: frames out, frames in.
type rawClient struct {
	net.Conn
	next int32
}

func dial(t testing.TB, address string) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &rawClient{Conn: conn}
}

// ask sends a request and reads its answer.
func (c *rawClient) ask(request kmsg.Request) (kmsg.Response, error) {
	c.next++
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, request, c.next)); err != nil {
		return nil, err
	}
	body, err := c.frame()
	if err != nil {
		return nil, err
	}
	answer := request.ResponseKind()
	answer.SetVersion(request.GetVersion())
	if answer.IsFlexible() && answer.Key() != int16(kmsg.ApiVersions) {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("the header has no empty tags")
		}
		body = body[1:]
	}
	if err := answer.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decode answer: %w", err)
	}
	if read := answer.AppendTo(nil); len(read) != len(body) {
		return nil, fmt.Errorf("the answer is %d bytes, of which %d were read", len(body), len(read))
	}
	return answer, nil
}

// frame reads an answer and returns what is after the correlation id.
func (c *rawClient) frame() ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, frame); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != c.next {
		return nil, fmt.Errorf("correlation id %d, want %d", got, c.next)
	}
	return frame[4:], nil
}

// fill gives every field something: a text, a number, one element.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "UnknownTags" && name != "Version" {
				fill(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("bytes"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.String:
		v.SetString("some-name")
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Bool:
		v.SetBool(true)
	}
}

// Every API is answered in every version that the table has, asked with nothing and with everything filled in, and the
// answer can be read to its end.
func TestEveryAPIInEveryVersion(t *testing.T) {
	s := testServices(t, map[string]string{"auto.create.topics.enable": "false"})
	clients, brokers := testServer(t, s), testListener(t, s, internalListener)
	for _, row := range Table() {
		address := clients
		if row.Internal {
			address = brokers
		}
		for version := row.MinVersion; version <= row.MaxVersion; version++ {
			for _, filled := range []bool{false, true} {
				request := kmsg.RequestForKey(row.Key)
				if request.MaxVersion() < version {
					t.Errorf("%s %d: kmsg knows versions up to %d", kmsg.NameForKey(row.Key), version, request.MaxVersion())
					continue
				}
				kmsgDefault(request)
				if filled {
					fill(reflect.ValueOf(request).Elem())
				}
				if produce, is := request.(*kmsg.ProduceRequest); is {
					produce.Acks = -1 // without acks there is no answer
				}
				request.SetVersion(version)
				if _, err := dial(t, address).ask(request); err != nil {
					t.Errorf("%s %d, filled %v: %v", kmsg.NameForKey(row.Key), version, filled, err)
				}
			}
		}
	}
}

func TestApiVersionsShowsTheTable(t *testing.T) {
	s := testServices(t, nil)
	forClients := slices.DeleteFunc(Table(), func(r Row) bool { return r.Internal })
	apiVersionsShow(t, testServer(t, s), forClients)
	apiVersionsShow(t, testListener(t, s, internalListener), Table())
	if len(forClients) == len(Table()) {
		t.Error("no row is internal")
	}
}

func apiVersionsShow(t *testing.T, address string, table []Row) {
	t.Helper()
	for version := int16(0); version <= 5; version++ {
		request := kmsg.NewPtrApiVersionsRequest()
		request.Version, request.ClientSoftwareName, request.ClientSoftwareVersion = version, "test", "1.0"
		answer, err := dial(t, address).ask(request)
		if err != nil {
			t.Fatalf("version %d: %v", version, err)
		}
		got := answer.(*kmsg.ApiVersionsResponse)
		if got.ErrorCode != 0 || len(got.ApiKeys) != len(table) {
			t.Fatalf("version %d: error %d, %d keys, want %d", version, got.ErrorCode, len(got.ApiKeys), len(table))
		}
		for i, key := range got.ApiKeys {
			if row := table[i]; key.ApiKey != row.Key || key.MinVersion != row.AdvertisedMin || key.MaxVersion != row.MaxVersion {
				t.Errorf("version %d: key %d has versions %d to %d", version, key.ApiKey, key.MinVersion, key.MaxVersion)
			}
		}
		if key := got.ApiKeys[0]; key.ApiKey != 0 || key.MinVersion != 0 {
			t.Errorf("version %d: Produce begins at %d, but librdkafka wants to see 0", version, key.MinVersion)
		}
		for _, f := range got.SupportedFeatures {
			if f.MinVersion == 0 && version < 4 {
				t.Errorf("version %d: feature %s begins at 0", version, f.Name)
			}
		}
		if hasFeatures := len(got.SupportedFeatures) > 0; hasFeatures != (version >= 3) {
			t.Errorf("version %d: features %v", version, got.SupportedFeatures)
		}
	}
}

// A newer client is told in version 0 which versions there are, and may go on on the same connection.
func TestApiVersionsOfAVersionToCome(t *testing.T) {
	c := dial(t, testServer(t, testServices(t, nil)))
	request := kmsg.NewPtrApiVersionsRequest()
	request.Version, request.ClientSoftwareName, request.ClientSoftwareVersion = 5, "test", "1.0"
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, request, 1)
	binary.BigEndian.PutUint16(frame[6:], 9) // the version
	c.next = 1
	if _, err := c.Write(frame); err != nil {
		t.Fatal(err)
	}
	body, err := c.frame()
	if err != nil {
		t.Fatal(err)
	}
	answer := kmsg.NewPtrApiVersionsResponse() // version 0
	if err := answer.ReadFrom(body); err != nil {
		t.Fatalf("%x: %v", body, err)
	}
	if len(answer.ApiKeys) != 1 || answer.ErrorCode != 35 {
		t.Fatalf("error %d, keys %v", answer.ErrorCode, answer.ApiKeys)
	}
	if key := answer.ApiKeys[0]; key.ApiKey != 18 || key.MinVersion != 0 || key.MaxVersion != 5 {
		t.Errorf("ApiVersions has %d to %d", key.MinVersion, key.MaxVersion)
	}
	if _, err := c.ask(request); err != nil {
		t.Errorf("after it: %v", err)
	}
}

func TestApiVersionsFaults(t *testing.T) {
	s := testServices(t, nil)
	c := dial(t, testServer(t, s))
	cluster, other := s.Metadata.ClusterID(), "another"
	for _, test := range []struct {
		name    string
		version int16
		change  func(*kmsg.ApiVersionsRequest)
		want    int16
	}{
		{"as it should be", 5, func(*kmsg.ApiVersionsRequest) {}, 0},
		{"no name", 3, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "" }, 42},
		{"odd version", 4, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareVersion = "-1" }, 42},
		{"no name, which version 2 does not have", 2, func(r *kmsg.ApiVersionsRequest) { r.ClientSoftwareName = "" }, 0},
		{"this node", 5, func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = &cluster, 1 }, 0},
		{"another cluster", 5, func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = &other, 1 }, 129},
		{"another node", 5, func(r *kmsg.ApiVersionsRequest) { r.ClusterID, r.NodeID = &cluster, 2 }, 129},
		{"a cluster without a node", 5, func(r *kmsg.ApiVersionsRequest) { r.ClusterID = &other }, 42},
		{"a node without a cluster", 5, func(r *kmsg.ApiVersionsRequest) { r.NodeID = 1 }, 42},
	} {
		request := kmsg.NewPtrApiVersionsRequest()
		request.Version, request.ClientSoftwareName, request.ClientSoftwareVersion = test.version, "test", "1.0"
		test.change(request)
		answer, err := c.ask(request)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := answer.(*kmsg.ApiVersionsResponse)
		if got.ErrorCode != test.want || (len(got.ApiKeys) == 0) != (test.want != 0) {
			t.Errorf("%s: error %d with %d keys, want %d", test.name, got.ErrorCode, len(got.ApiKeys), test.want)
		}
	}
}

// An API that the table does not name, and a version that a row does not have, end the connection.
func TestUnknownAPIsEndTheConnection(t *testing.T) {
	address := testServer(t, testServices(t, nil))
	refused := []kmsg.Request{kmsg.NewPtrVoteRequest(), kmsg.NewPtrFetchSnapshotRequest()}
	old := kmsg.NewPtrCreateTopicsRequest()
	old.Version = 1
	for _, request := range append(refused, old) {
		if slices.ContainsFunc(Table(), func(r Row) bool { return r.Key == request.Key() && r.MinVersion <= request.GetVersion() }) {
			t.Fatalf("%s is in the table", kmsg.NameForKey(request.Key()))
		}
		if answer, err := dial(t, address).ask(request); !errors.Is(err, io.EOF) && !isReset(err) {
			t.Errorf("%s: %v, %v", kmsg.NameForKey(request.Key()), answer, err)
		}
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && !op.Timeout()
}
