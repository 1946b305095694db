package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/millrace-io/millrace/broker/group"
	"github.com/millrace-io/millrace/security"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLag has every partition end at 100.
type fakeLag []group.CommittedOffset

func (f fakeLag) CommittedOffsets(context.Context) iter.Seq[group.CommittedOffset] {
	return slices.Values(f)
}

func (f fakeLag) EndOffsets(_ context.Context, offsets []group.CommittedOffset) []int64 {
	ends := make([]int64, len(offsets))
	for i, one := range offsets {
		if ends[i] = 100; one.Topic == "gone" {
			ends[i] = -1
		}
	}
	return ends
}

func committed(groupID, topic string, partition int32, offset int64) group.CommittedOffset {
	return group.CommittedOffset{Tenant: security.DefaultTenant, Group: groupID, Topic: topic, Partition: partition, Offset: offset}
}

func testConfig(t *testing.T) Config {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	registry := prometheus.NewPedanticRegistry()
	return Config{
		Listener: listener, Logger: slog.New(slog.DiscardHandler), Version: "1.2.3", NodeID: 7,
		ClusterID: func() string { return "MkU3OEVBNTcwNTJENDM2Qk" }, Gatherer: registry, Registerer: registry,
	}
}

// serve runs a gateway until the test ends and returns its URL.
func serve(t *testing.T, cfg Config) string {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return "http://" + cfg.Listener.Addr().String()
}

func get(t *testing.T, url string, header ...string) (code int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			request.Host = header[i+1]
		}
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(all)
}

func TestReadyNamesEveryReason(t *testing.T) {
	cfg := testConfig(t)
	var leader, disk, data error
	cfg.Ready = []Check{
		{Name: "metadata leader", Fault: func() error { return leader }},
		{Name: "log directories", Fault: func() error { return disk }},
		{Name: "log data", Fault: func() error { return data }, Warns: true},
	}
	url := serve(t, cfg)
	for _, test := range []struct {
		leader, disk error
		code         int
		want         string
	}{
		{nil, nil, 200, `{"status":"ok","checks":[{"name":"metadata leader","status":"ok"},{"name":"log directories","status":"ok"},{"name":"log data","status":"ok"}]}`},
		{errors.New("none is known"), nil, 503, `{"status":"failing","checks":[{"name":"metadata leader","status":"failing","reason":"none is known"},{"name":"log directories","status":"ok"},{"name":"log data","status":"ok"}]}`},
		{errors.New("a"), errors.New("b"), 503, `{"status":"failing","checks":[{"name":"metadata leader","status":"failing","reason":"a"},{"name":"log directories","status":"failing","reason":"b"},{"name":"log data","status":"ok"}]}`},
	} {
		leader, disk = test.leader, test.disk
		for _, path := range []string{"/healthz/ready", "/healthz"} {
			if code, body := get(t, url+path); code != test.code || strings.TrimSpace(body) != test.want {
				t.Errorf("%s: %d %s, want %d %s", path, code, body, test.code, test.want)
			}
		}
		if code, body := get(t, url+"/healthz/live"); code != 200 || strings.TrimSpace(body) != `{"status":"ok","checks":[]}` {
			t.Errorf("live: %d %s", code, body)
		}
	}
}

func TestAWarningKeepsNobodyAway(t *testing.T) {
	cfg := testConfig(t)
	cfg.Ready = []Check{{Name: "log data", Fault: func() error { return errors.New("a bit has flipped") }, Warns: true}}
	code, body := get(t, serve(t, cfg)+"/healthz/ready")
	want := `{"status":"ok","checks":[{"name":"log data","status":"warning","reason":"a bit has flipped"}]}`
	if code != 200 || strings.TrimSpace(body) != want {
		t.Errorf("%d %s, want %s", code, body, want)
	}
}

func TestRootSaysWhoThisIs(t *testing.T) {
	url := serve(t, testConfig(t))
	code, body := get(t, url+"/")
	var who identity
	if err := json.Unmarshal([]byte(body), &who); err != nil || code != 200 {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	if who.Version != "1.2.3" || who.NodeID != 7 || who.ClusterID != "MkU3OEVBNTcwNTJENDM2Qk" {
		t.Errorf("root says %+v", who)
	}
	if code, body := get(t, url+"/", "Accept", "text/html,*/*"); code != 200 || !strings.Contains(body, "<h1>Millrace 1.2.3</h1>") {
		t.Errorf("page for people: %d %s", code, body)
	}
	if code, _ := get(t, url+"/nothing"); code != 404 {
		t.Errorf("a path that is not there: %d, want 404", code)
	}
	answer, err := http.Post(url+"/healthz", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != 405 {
		t.Errorf("POST to a health endpoint: %d, want 405", answer.StatusCode)
	}
}

func TestProfilesStayOnThisMachine(t *testing.T) {
	url := serve(t, testConfig(t))
	if code, body := get(t, url+"/debug/pprof/"); code != 200 || !strings.Contains(body, "goroutine") {
		t.Errorf("from this machine: %d", code)
	}
	if code, _ := get(t, url+"/debug/pprof/goroutine?debug=1"); code != 200 {
		t.Errorf("a profile by name: %d", code)
	}
	for _, header := range [][]string{{"Host", "evil.example"}, {"X-Forwarded-For", "203.0.113.9"}, {"Forwarded", "for=203.0.113.9"}} {
		if code, _ := get(t, url+"/debug/pprof/", header...); code != 403 {
			t.Errorf("with %s %s: %d, want 403", header[0], header[1], code)
		}
	}
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/debug/pprof/", nil)
	request.RemoteAddr = "203.0.113.9:4711"
	routes(testConfig(t)).ServeHTTP(recorder, request)
	if recorder.Code != 403 {
		t.Errorf("from another machine: %d, want 403", recorder.Code)
	}
}

func TestMetricsAreWellNamed(t *testing.T) {
	cfg := testConfig(t)
	cfg.Lag = fakeLag{committed("g", "t", 0, 40)}
	url := serve(t, cfg)
	get(t, url+"/")
	problems, err := testutil.GatherAndLint(cfg.Gatherer)
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	code, body := get(t, url+"/metrics")
	for _, want := range []string{`millrace_consumer_group_lag{group="g",partition="0",topic="t"} 60`, `millrace_http_requests_total{code="200",method="get"} 1`} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics: %d, want it to have %s:\n%s", code, want, body)
		}
	}
}

func TestLag(t *testing.T) {
	source := fakeLag{
		committed("b", "t", 0, 100), committed("a", "t", 1, 10), committed("a", "t", 0, 120), committed("a", "gone", 0, 1),
		committed("bad\xff", "t", 0, 1), {Tenant: "other", Group: "secret", Topic: "t", Offset: 1},
	}
	const want = `
# HELP millrace_consumer_group_lag Records between a group's committed offset and the end of the partition.
# TYPE millrace_consumer_group_lag gauge
millrace_consumer_group_lag{group="a",partition="0",topic="t"} 0
millrace_consumer_group_lag{group="a",partition="1",topic="t"} 90
millrace_consumer_group_lag{group="b",partition="0",topic="t"} 0
# HELP millrace_consumer_group_lag_dropped_series_total Lag series that scrapes left out because there are too many, or because the group's id is not text.
# TYPE millrace_consumer_group_lag_dropped_series_total counter
millrace_consumer_group_lag_dropped_series_total 1
`
	if err := testutil.CollectAndCompare(newLagCollector(source, 0), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

// Whatever the order in which groups come, the same series are shown and the rest is counted.
func TestLagIsBounded(t *testing.T) {
	var source fakeLag
	for i := range 1000 {
		source = append(source, committed(fmt.Sprintf("group-%03d", i), "t", 0, 0))
	}
	for range 3 {
		collector := newLagCollector(source, 10)
		shown := collector.first(t.Context())
		for i, one := range shown {
			if want := fmt.Sprintf("group-%03d", i); one.Group != want {
				t.Fatalf("series %d is %s, want %s", i, one.Group, want)
			}
		}
		if left := testutil.ToFloat64(collector.leftOut); len(shown) != 10 || left != 990 {
			t.Errorf("%d series shown, %v left out; want 10 and 990", len(shown), left)
		}
		slices.Reverse(source)
	}
}

func TestConfigReportsEveryFault(t *testing.T) {
	_, err := New(Config{MaxLagSeries: -1})
	for _, want := range []string{"Listener", "Gatherer", "ClusterID", "MaxLagSeries"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("fault of %s is not reported: %v", want, err)
		}
	}
}

func TestCloseWithoutServeFreesThePort(t *testing.T) {
	cfg := testConfig(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp", cfg.Listener.Addr().String())
	if err != nil {
		t.Fatalf("port is still taken: %v", err)
	}
	again.Close()
}

// fakeRestart has as many partitions at risk as it may name.
type fakeRestart struct{}

func (fakeRestart) Risks(limit int) RestartRisks {
	return RestartRisks{Unavailable: slices.Repeat([]string{"t/0"}, limit)}
}

func (fakeRestart) Reclaimed() int { return 73 }

func TestRestartProbes(t *testing.T) {
	cfg := testConfig(t)
	cfg.Restart = fakeRestart{}
	url := serve(t, cfg)
	for _, tc := range []struct {
		path string
		code int
		want string
	}{
		{"/v1/broker/pre_restart_probe?limit=2", 200, `"unavailable":["t/0","t/0"]`},
		{"/v1/broker/pre_restart_probe?limit=x", 400, "limit must be a number"},
		{"/v1/broker/pre_restart_probe?limit=-1", 400, "limit must be a number"},
		{"/v1/broker/pre_restart_probe", 200, `"rf1_offline":`},
		{"/v1/broker/post_restart_probe", 200, `{"load_reclaimed_pc":73}`},
	} {
		if code, body := get(t, url+tc.path); code != tc.code || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %.200s, want %d with %s", tc.path, code, body, tc.code, tc.want)
		}
	}
}
